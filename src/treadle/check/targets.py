"""Every `_target_` of a configuration against the signature in its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from treadle.config.compose import Composed
from treadle.errors import TreadleError
from treadle.experiment.fingerprint import fingerprint_modules
from treadle.experiment.modules import TREADLE
from treadle.problems import Problem
from treadle.targets.signatures import UnknownTargetError, read_signature
from treadle.targets.validate import find_targets, judge_target


def check_targets(composed: Composed) -> list[Problem]:
    """Every mistake in every target and its arguments."""
    allowed = composed.values.get("targets")
    prefixes = [str(prefix) for prefix in allowed] if isinstance(allowed, list) else []
    found = find_targets(composed.values, "")
    return [problem for key, node in found for problem in _check_target(key, node, prefixes, composed)]


def list_opaque(composed: Composed) -> list[Problem]:
    """Targets whose arguments cannot be known without an import: once each, to be told and not to be refused."""
    seen: dict[str, str] = {}
    for key, node in find_targets(composed.values, ""):
        try:
            if not read_signature(node["_target_"]).known:
                seen.setdefault(node["_target_"], key)
        except (UnknownTargetError, SyntaxError):
            continue
    rule = "the arguments of {!r} are not known without importing it: they are checked when it is built"
    return [Problem(key, rule.format(path), place=composed.locate(f"{key}._target_")) for path, key in seen.items()]


def _check_target(key: str, node: dict[str, Any], allowed: Sequence[str], composed: Composed) -> Iterator[Problem]:
    """Places are looked up for what is wrong alone: that costs more than the check itself."""
    problems = list(judge_target(key, node, allowed))
    if not any(problem.key == f"{key}._target_" for _, problem in problems):
        problems += [("value", problem) for problem in filter(None, [_judge_code(key, node["_target_"])])]
    for part, problem in problems:
        yield replace(problem, place=composed.locate(problem.key, part=part))


def _judge_code(key: str, path: str) -> Problem | None:
    """Whether all code of the project that a sound target imports can be part of a run's identity."""
    if path.partition(".")[0] != TREADLE:
        try:
            fingerprint_modules([path.rpartition(".")[0]])
        except TreadleError as error:
            return Problem(f"{key}._target_", str(error))
    return None
