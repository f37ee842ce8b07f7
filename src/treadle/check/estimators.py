"""Models that train themselves, such as trees: what they do not read, or cannot do, and the columns that they name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from treadle.experiment.libraries import CONSTANTS
from treadle.experiment.modules import find_module
from treadle.experiment.spec import NO_AUGMENTATION, RAW, Experiment
from treadle.hints import nearest
from treadle.model_choice.raw_inputs import strip_features, takes_raw_inputs
from treadle.problems import Problem
from treadle.targets.signatures import read_constant
from treadle.tasks import TRAITS, pick_by_task


def check_estimator(experiment: Experiment) -> Iterator[Problem]:
    """What a model that trains itself can do with this experiment."""
    if not isinstance(experiment.model, dict):
        return
    path = experiment.network["_target_"]
    objectives = read_constant(path, "OBJECTIVES")
    if objectives is None:
        yield from _check_library(path)
        return
    name = path.rpartition(".")[2]
    yield from _check_task(experiment, name)
    yield from _check_given(experiment, name)
    library, extra = (read_constant(path, constant) for constant in ("LIBRARY", "EXTRA"))
    if library is not None and find_module(library) is None:
        rule = f"{path} needs the library {library}, which is not installed"
        yield Problem("model._target_", rule, f"`pip install treadle[{extra}]`, or choose another model")
    yield from _check_loss(experiment, name, objectives)
    yield from _check_training(experiment, name)
    yield from _check_monotone(experiment, name)


def _check_library(path: str) -> Iterator[Problem]:
    """A class of another library that trains itself is one that Treadle knows how to train and to keep."""
    taken = [name for name in CONSTANTS if name.partition(".")[0] == path.partition(".")[0]]
    if taken:
        rule = f"{path} is none of the classes that Treadle can train, and keep in a file without pickle"
        fix = "choose one of them, or write a class of your own after treadle/models/estimator.py"
        yield Problem("model._target_", rule, fix, hint=nearest(path, taken))


def _check_task(experiment: Experiment, name: str) -> Iterator[Problem]:
    """A classifier is not for values, nor a regressor for classes."""
    tasks, task = read_constant(experiment.network["_target_"], "TASKS"), experiment.data.answer
    if tasks is not None and task not in tasks:
        rule = f"{name} is for {' and '.join(tasks)}; data.task is {task}"
        kinds = ("Classifier", "Regressor")
        twin = name.replace(*(kinds if TRAITS[task].is_value else kinds[::-1]))
        fix = "choose another class" if twin == name else f"choose {twin}"
        yield Problem("model._target_", rule, fix)


def _check_given(experiment: Experiment, name: str) -> Iterator[Problem]:
    """What the experiment says is not said again to the class."""
    given = read_constant(experiment.network["_target_"], "GIVEN_BY") or {}
    for argument in experiment.network.keys() & given.keys():
        rule = f"{argument!r} of {name} is set by {given[argument]}"
        yield Problem(f"model.{argument}", rule, "remove it", fix_override=f"~model.{argument}")


def check_raw_steps(experiment: Experiment) -> Iterator[Problem]:
    """A step that leaves numbers missing is for models that take them so."""
    if not isinstance(experiment.model, dict) or takes_raw_inputs(experiment.network):
        return
    for block, step, node in (
        (block, step, node) for block, own in experiment.features.blocks.items() for step, node in own.steps.items()
    ):
        if node["_target_"] == RAW:
            rule = f"{experiment.network['_target_']} takes neither missing nor unscaled numbers"
            fix = "impute and scale them; for models that take them, Treadle itself leaves these steps out"
            yield Problem(f"features.blocks.{block}.steps.{step}._target_", rule, fix)


def _check_loss(experiment: Experiment, name: str, objectives: tuple[str, ...]) -> Iterator[Problem]:
    path = experiment.loss.function["_target_"]
    objective = pick_by_task(read_constant(path, "OBJECTIVE"), experiment.data.answer)
    if objective not in objectives:
        rule = f"{name} does not minimise {path}" + (", which is for networks" if objective is None else "")
        yield Problem("loss.function._target_", rule, f"choose one of loss={', loss='.join(objectives)}")


def _check_training(experiment: Experiment, name: str) -> Iterator[Problem]:
    schedule, trainer = experiment.schedule, experiment.trainer
    if experiment.augmentation["_target_"] != NO_AUGMENTATION:
        yield Problem("augmentation._target_", f"{name} takes no batches that could be mixed", "add augmentation=none")
    if schedule.sampling != "shuffle":
        rule = f"{name} takes each row as often as any other"
        yield Problem("schedule.sampling", rule, "set it to shuffle, and loss.class_weights to balanced")
    if schedule.refit == "all" and read_constant(experiment.network["_target_"], "REFITS") is not True:
        rule = f"{name} cannot be trained a second time: it has no `restart`, or its class does not say REFITS = True"
        yield Problem("schedule.refit", rule, "set it to none")
    if schedule.shuffle_buffer is not None:
        yield Problem("schedule.shuffle_buffer", f"{name} takes all rows in memory", "set it to null")
    for key, added in (
        ("callbacks", experiment.callbacks),
        ("logger", experiment.logger),
        ("trainer.extra", trainer.extra),
    ):
        if added:
            yield Problem(key, f"Lightning reads it, and {name} trains itself", "remove it")
    for key, value in (("devices", trainer.devices), ("num_nodes", trainer.num_nodes)):
        if isinstance(value, int) and value > 1:
            rule = f"{name} trains in one process; found {value}"
            yield Problem(f"trainer.{key}", rule, "set it to 1; trainer.threads is what it can use")


def _check_monotone(experiment: Experiment, name: str) -> Iterator[Problem]:
    """Columns of constraints are numbers that the model is given, under a loss that lets it keep their directions."""
    path, loss = experiment.network["_target_"], experiment.loss.function["_target_"]
    argument = read_constant(path, "MONOTONE") or "monotone"
    monotone: Any = experiment.network.get(argument)
    if monotone and read_constant(loss, "OBJECTIVE") in (read_constant(path, "UNDIRECTED") or ()):
        rule = f"{name} keeps no direction under {loss}"
        yield Problem(f"model.{argument}", rule, "set it to null, or choose another loss")
    blocks = strip_features(experiment.features).blocks.values()
    numbers = [column for block in blocks if _ends_raw(block.steps) for column in block.columns]
    for column in monotone if isinstance(monotone, dict) else ():
        if column not in numbers:
            rule = f"no number {column!r} in features.blocks"
            yield Problem(f"model.{argument}.{column}", rule, hint=nearest(column, numbers))


def _ends_raw(steps: dict[str, dict[str, Any]]) -> bool:
    return list(steps.values())[-1:] == [{"_target_": RAW}]
