"""The candidates of a rule in place of a model (`model=auto`), its `ladder`: their nodes and their costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from treadle.config.compose import Composed
from treadle.experiment.spec import ModelRule, Rung, is_rule
from treadle.hints import nearest
from treadle.problems import Problem
from treadle.targets.costs import Cost, CostError
from treadle.targets.injected import list_context
from treadle.targets.signatures import UnknownTargetError, read_signature
from treadle.targets.validate import check_target

GROUP = "model"
SIZES = ("num_numeric", "num_categories", "num_words", "num_outputs")  # names in a cost, besides arguments


class Ladder:
    """A rule and the nodes of its candidates, with interpolations resolved in the whole experiment.

    Raises:
        ConfigError: the file of an option is broken.
    """

    def __init__(self, rule: ModelRule, composed: Composed) -> None:
        self.rule = rule
        known = composed.list_options(GROUP)
        names = [rung.option for rung in rule.ladder if rung.option in known]
        self.written = composed.compose_options(GROUP, names)
        self.whole = OmegaConf.create(composed.written)
        self.composed = composed

    def make(self, rung: Rung) -> dict[str, Any]:
        """The node of a candidate."""
        return {**self.read(rung.option), **rung.set}

    def read(self, option: str) -> dict[str, Any]:
        """The node of an option.

        Raises:
            OmegaConfBaseException: one of its interpolations does not resolve.
        """
        self.whole[GROUP] = self.written[option]
        node = OmegaConf.to_container(self.whole[GROUP], resolve=True)
        assert isinstance(node, dict)
        return {str(name): value for name, value in node.items()}


def find_cost(node: Mapping[str, Any]) -> Cost | None:
    """The training cost that the class of a network declares."""
    try:
        return read_signature(node["_target_"]).cost
    except (UnknownTargetError, SyntaxError):
        return None


def check_ladder(ladder: Ladder, *, targets: list[str]) -> Iterator[Problem]:
    """Problems of the candidates: unknown options, wrong values, undeclared costs."""
    options = ladder.composed.list_options(GROUP)
    for index, rung in enumerate(ladder.rule.ladder):
        key = f"{GROUP}.ladder.{index}"
        if rung.option not in options:
            rule = f"{rung.option!r} is not an option of the group {GROUP!r}"
            yield Problem(f"{key}.option", rule, hint=nearest(rung.option, options))
            continue
        try:
            yield from _check_rung(key, rung, ladder, targets)
        except OmegaConfBaseException as error:
            yield Problem(f"{key}.option", f"{rung.option!r} cannot be composed: {str(error).splitlines()[0]}")


def _check_rung(key: str, rung: Rung, ladder: Ladder, targets: list[str]) -> Iterator[Problem]:
    whole = ladder.read(rung.option)
    if is_rule(whole):
        yield Problem(f"{key}.option", f"{rung.option!r} is itself a rule", "name a network")
        return
    unknown = [name for name in rung.set if name not in whole]
    for name in unknown:
        rule = f"unknown key {name!r} of the option {rung.option!r}"
        yield Problem(f"{key}.set.{name}", rule, hint=nearest(name, set(whole) - {"_target_"}))
    if not unknown:
        faults = list(_check_network(key, rung, ladder.make(rung), targets))
        yield from faults or _check_cost(f"{key}.option", ladder.make(rung))


def _check_network(key: str, rung: Rung, node: dict[str, Any], targets: list[str]) -> Iterator[Problem]:
    for problem in check_target(GROUP, node, targets):
        name = problem.key.removeprefix(f"{GROUP}.")
        written = f"{key}.set.{name}" if name in rung.set else f"{key}.option"
        yield Problem(written, problem.rule, problem.fix, hint=problem.hint)


def _check_cost(key: str, node: dict[str, Any]) -> Iterator[Problem]:
    """The cost is declared, and names only arguments and sizes."""
    cost = find_cost(node)
    if cost is None:
        rule = f"{node['_target_']} declares no COST, from which its training time is predicted"
        yield Problem(
            key, rule, 'declare one in the class: COST = Cost(products="num_numeric * width", values="width")'
        )
        return
    try:
        cost.measure({**complete(node), **dict.fromkeys(SIZES, 1)})
    except CostError as error:
        known = sorted({*complete(node), *SIZES})
        yield Problem(key, f"{node['_target_']}: {error}", f"it may name {', '.join(known)}")


def complete(node: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a network that the configuration gives."""
    return {name: value for name, value in node.items() if name not in {"_target_", *list_context(GROUP)}}
