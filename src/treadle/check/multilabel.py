"""Several labels: they stand where the task has them, and nothing is asked that is of one label alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from treadle.experiment.spec import Experiment, get_split_column
from treadle.problems import Problem
from treadle.schema import LABEL

_LEAST = 2  # labels
_KEY = "data.examples.label"


class _OfOneLabel(NamedTuple):
    """A key that has no meaning where there are several labels."""

    is_set: Callable[[Experiment], bool]
    rule: str
    fix: str


_OF_ONE_LABEL: Mapping[str, _OfOneLabel] = {
    "data.labels": _OfOneLabel(
        lambda experiment: experiment.data.labels is not None,
        "rules vote for one label",
        "set it to null",
    ),
    "data.split.column": _OfOneLabel(
        lambda experiment: get_split_column(experiment.data.split) == LABEL,
        "rows are drawn by one value of a row, and a row has several labels",
        "draw by a column, such as that of the rarest label, or set data.split.by to random or kfold",
    ),
    "loss.class_weights": _OfOneLabel(
        lambda experiment: experiment.loss.class_weights is not None,
        "a row has no single class by which it could weigh",
        "set it to null; loss=weighted_labels weighs the ones of each label",
    ),
    "schedule.sampling": _OfOneLabel(
        lambda experiment: experiment.schedule.sampling == "balanced",
        "a row has no single class that could be drawn as often as any other",
        "set it to shuffle; loss=weighted_labels weighs the ones of each label",
    ),
    "evaluation.conformal": _OfOneLabel(
        lambda experiment: experiment.evaluation.conformal is not None,
        "sets of classes hold one class of a row, and a row has several labels",
        "set it to null",
    ),
    "evaluation.naive": _OfOneLabel(
        lambda experiment: experiment.evaluation.naive is not None,
        "a series remembers one label",
        "set it to null",
    ),
}


def check_multilabel(experiment: Experiment) -> Iterator[Problem]:
    """Labels and task fit each other; keys that are of one label are not set."""
    label, task = experiment.data.examples.label, experiment.data.task
    if task != "multilabel":
        yield from _check_one(experiment)
        return
    if isinstance(label, str) or len(label) < _LEAST:
        told = repr(label) if isinstance(label, str) else f"one, {next(iter(label))!r}"
        rule = f"a multilabel task has two labels or more; found {told}"
        fix = "write an SQL expression for each, by name, {late: delay > 15, lost: weight IS NULL}, or set data.task"
        yield Problem(_KEY, rule, f"{fix} to binary")
    for key, found in _OF_ONE_LABEL.items():
        if found.is_set(experiment):
            yield Problem(key, found.rule, found.fix)
    yield from _check_weights(experiment.loss.function, num_labels=len(experiment.data.examples.labels))


def _check_one(experiment: Experiment) -> Iterator[Problem]:
    label, task = experiment.data.examples.label, experiment.data.task
    if isinstance(label, dict):
        rule = f"a {task} task has one label; found {len(label)}: {', '.join(label)}"
        yield Problem(_KEY, rule, "set data.task to multilabel, or write one SQL expression")
    if experiment.evaluation.decide_by != "threshold":
        rule = f"'f1' chooses a threshold for each of several labels; data.task is {task!r}"
        yield Problem("evaluation.decide_by", rule, "set it to threshold")


def _check_weights(function: Mapping[str, Any], *, num_labels: int) -> Iterator[Problem]:
    weights = function.get("positive_weights")
    if isinstance(weights, list) and len(weights) != num_labels:
        rule = f"has {len(weights)} weights; {_KEY} has {num_labels} labels"
        yield Problem("loss.function.positive_weights", rule, "give one for each label, in their order")
