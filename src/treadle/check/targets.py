"""Every `_target_` of a configuration against the signature in its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from treadle.config.compose import Composed
from treadle.errors import TreadleError
from treadle.experiment.fingerprint import fingerprint_modules
from treadle.experiment.modules import TREADLE
from treadle.keys import find_targets
from treadle.problems import Problem
from treadle.targets.ancestry import derives_from
from treadle.targets.injected import is_network
from treadle.targets.signatures import UnknownTargetError, read_signature
from treadle.targets.validate import check_target

LIGHTNING = "LightningModule"


def check_targets(composed: Composed) -> list[Problem]:
    """Every mistake in every target and its arguments."""
    allowed = composed.values.get("targets")
    prefixes = [str(prefix) for prefix in allowed] if isinstance(allowed, list) else []
    found = find_targets(composed.values)
    return [problem for key, node in found for problem in _check_target(key, node, prefixes)]


def find_opaque_targets(composed: Composed) -> list[Problem]:
    """Targets whose arguments cannot be known without an import, once each: a warning."""
    seen: dict[str, str] = {}
    for key, node in find_targets(composed.values):
        try:
            if not read_signature(node["_target_"]).known:
                seen.setdefault(node["_target_"], key)
        except (UnknownTargetError, SyntaxError):
            continue
    rule = "the arguments of {!r} are unknown without importing it: they are checked when it is built"
    return [Problem(f"{key}._target_", rule.format(path)) for path, key in seen.items()]


def _check_target(key: str, node: dict[str, Any], allowed: Sequence[str]) -> Iterator[Problem]:
    if is_network(key) and derives_from(node["_target_"], LIGHTNING):
        rule = f"{node['_target_']} is a {LIGHTNING}, and `{key}` takes a network alone"
        fix = "an experiment of your own module has `learner` in place of data, features, model, schedule and loss"
        yield Problem(f"{key}._target_", rule, fix)
        return
    problems = list(check_target(key, node, allowed))
    yield from problems
    if not any(problem.key == f"{key}._target_" for problem in problems):
        yield from _check_code(key, node["_target_"])


def _check_code(key: str, path: str) -> Iterator[Problem]:
    """Whether all code of the project that a valid target imports can be part of a run's identity."""
    if path.partition(".")[0] != TREADLE:
        try:
            fingerprint_modules([path.rpartition(".")[0]])
        except TreadleError as error:
            yield Problem(f"{key}._target_", str(error))
