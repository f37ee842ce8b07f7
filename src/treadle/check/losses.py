"""Losses: for this task, weights of classes that exist, and outputs that an exposure can be added to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from treadle.experiment.spec import NO_AUGMENTATION, Experiment
from treadle.hints import nearest
from treadle.problems import Problem
from treadle.schema import BINARY_CLASSES, MEDIAN
from treadle.targets.annotations import list_options
from treadle.targets.signatures import UnknownTargetError, read_constant, read_signature
from treadle.tasks import TRAITS


def check_loss(experiment: Experiment) -> Iterator[Problem]:
    """A loss for this task, and weights of classes that exist."""
    task, path = experiment.data.answer, experiment.loss.function["_target_"]
    tasks = _list_tasks(path)
    if tasks and task not in tasks:
        rule = f"{path} is for the task {' or '.join(map(repr, tasks))}; data.task is {experiment.data.task!r}"
        yield Problem("loss.function._target_", rule, "choose another loss; loss=default fits every task")
    yield from _check_levels(experiment)
    weights = experiment.loss.class_weights
    if weights is not None and TRAITS[task].is_value:
        yield Problem("loss.class_weights", f"a {task} has no classes", "set it to null")
    elif task == "binary" and isinstance(weights, Mapping):
        for name in weights:
            if name not in BINARY_CLASSES:
                rule = f"no class {name!r}: those of a binary task are 'negative' and 'positive'"
                yield Problem(f"loss.class_weights.{name}", rule, hint=nearest(name, BINARY_CLASSES))


def _check_levels(experiment: Experiment) -> Iterator[Problem]:
    """Quantiles of a loss rise, and have the median among them."""
    function = experiment.loss.function
    levels = function.get("levels")
    if read_constant(function["_target_"], "OBJECTIVE") != "quantiles" or not isinstance(levels, list):
        return
    if MEDIAN not in levels:
        rule = f"{MEDIAN} must be among them, which is the prediction; found {levels}"
        yield Problem("loss.function.levels", rule, "add it")
    elif any(a >= b for a, b in pairwise(levels)):
        yield Problem("loss.function.levels", f"must rise; found {levels}", f"set it to {sorted(set(levels))}")


def check_exposure(experiment: Experiment) -> Iterator[Problem]:
    """A step that gives an exposure needs an output that is a logarithm, and rows as they are."""
    path = experiment.loss.function["_target_"]
    is_log = TRAITS[experiment.data.answer].link == "log" or read_constant(path, "link") == "log"
    for block, own in experiment.features.blocks.items():
        for step, node in own.steps.items():
            if read_constant(node["_target_"], "OFFSET") is not True:
                continue
            if experiment.augmentation["_target_"] != NO_AUGMENTATION:
                rule = "exposures of two rows cannot be mixed: the logarithm of a mean is not the mean of logarithms"
                yield Problem("augmentation._target_", rule, "add augmentation=none")
            if not is_log:
                rule = f"an exposure multiplies a count or an amount above 0; data.task is {experiment.data.task!r}"
                fix = "set data.task to count, choose loss=poisson or loss=tweedie, or scale the column as others"
                yield Problem(f"features.blocks.{block}.steps.{step}._target_", rule, fix)


def check_sampling(experiment: Experiment) -> Iterator[Problem]:
    """Balanced sampling: it needs classes and rows in memory, and excludes class weights."""
    if experiment.schedule.sampling != "balanced":
        return
    if experiment.schedule.shuffle_buffer is not None:
        rule = "rows that are streamed from disk cannot be sampled by class"
        way_out = "set schedule.shuffle_buffer to null, or balance by loss.class_weights"
        yield Problem("schedule.sampling", rule, way_out)
    if experiment.data.labels is not None:
        rule = "rows that rules label are written once for each class, so that the classes look balanced already"
        yield Problem("schedule.sampling", rule, "set it to shuffle, and loss.class_weights to balanced")
    if TRAITS[experiment.data.answer].is_value:
        yield Problem("schedule.sampling", f"a {experiment.data.task} has no classes to balance", "set it to shuffle")
    elif experiment.loss.class_weights == "balanced":
        rule = "schedule.sampling and loss.class_weights both balance the classes: rare classes would be balanced twice"
        yield Problem("schedule.sampling", rule, "set it to shuffle, or loss.class_weights to null")


def _list_tasks(path: str) -> list[str]:
    """The tasks that the annotation of a loss's argument `task` allows; empty without one."""
    try:
        parameter = read_signature(path).parameters.get("task")
    except (UnknownTargetError, SyntaxError):  # reported by check/targets.py
        return []
    return list_options(parameter.type) if parameter is not None else []
