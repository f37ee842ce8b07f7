"""Bundles that a run reads: to start transforms and training from, to learn from, and to be compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from treadle.champions.bundles import CHALLENGER, CHAMPION, find_bundle, is_reference
from treadle.champions.ledger import list_models
from treadle.errors import TreadleError
from treadle.experiment.blocks import list_example_columns
from treadle.experiment.durations import parse_moment
from treadle.experiment.members import list_parts
from treadle.experiment.run_folder import OPTIMIZER
from treadle.experiment.source_bundles import (
    digest_source,
    find_optimizer,
    find_source,
    list_source_bundles,
    settle_source,
    split_source,
)
from treadle.experiment.spec import NO_AUGMENTATION, AnyExperiment, Experiment
from treadle.hints import nearest
from treadle.json_files import read_json
from treadle.problems import Problem
from treadle.targets.signatures import read_constant

_MOST = 3  # columns in a message
_OPTIMIZER = "schedule.start_optimizer"


def check_start(experiment: Experiment, *, root: Path) -> Iterator[Problem]:
    """Bundles that transforms, and training, start from."""
    if (fitted := experiment.features.start_from) is not None:
        yield from _check_place(fitted, key="features.start_from", experiment=experiment, root=root)
    key, text = "schedule.start_from", experiment.schedule.start_from
    if text is None:
        if experiment.schedule.start_optimizer == "continue":
            rule = "goes on with the optimizer of a bundle, and schedule.start_from names none"
            yield Problem(_OPTIMIZER, rule, f"name one, or set {_OPTIMIZER} to anew")
        return
    if not isinstance(experiment.model, dict):
        rule = "the members of a blend are different models, which cannot start from one bundle"
        yield Problem(key, rule, "set it to null, or choose a network")
        return
    if not has_weights(experiment):
        rule = f"{experiment.network['_target_']} trains itself, from the beginning"
        yield Problem(key, rule, "set it to null, or choose a network")
    found = list(_check_place(text, key=key, experiment=experiment, root=root))
    if not found:
        place, bundle = _locate(text, experiment, root)
        assert bundle is not None, "it was found"
        found = list(_check_network(place, bundle))
        if not found and experiment.schedule.start_optimizer == "continue":
            found = list(_check_optimizer(experiment, place, bundle))
    yield from found


def _check_network(place: str, bundle: Path) -> Iterator[Problem]:
    """The bundle is no blend."""
    if read_json(bundle / "bundle.json").get("members"):
        rule = f"the bundle of {place} is a blend, whose members are different models with weights of their own"
        yield Problem("schedule.start_from", rule, "name the run of a member that is a network")


def _check_optimizer(experiment: Experiment, place: str, bundle: Path) -> Iterator[Problem]:
    """The bundle's training left a state, of an optimizer of the same kind, and it is there."""
    card, recipe = (read_json(bundle / name) for name in ("bundle.json", "experiment.json"))
    before, now = _get(recipe, "schedule", "optimizer", "_target_"), experiment.schedule.optimizer["_target_"]
    if card.get("optimizer") is None:
        rule = f"the training of {place} kept no state of its optimizer, {before}"
    elif before != now:
        rule = f"{place} was trained by {before}, whose state is of no use to {now}"
    elif find_optimizer(bundle) is None:
        rule = f"{place} has no state of its optimizer beside the bundle, model/{OPTIMIZER} of its run"
    else:
        return
    yield Problem(_OPTIMIZER, rule, f"set {_OPTIMIZER} to anew")


def has_weights(experiment: Experiment) -> bool:
    """Whether its model is a network, and no blend or a model that trains itself."""
    return isinstance(experiment.model, dict) and read_constant(experiment.network["_target_"], "OBJECTIVES") is None


def check_teacher(experiment: Experiment, *, root: Path) -> Iterator[Problem]:
    """A bundle to learn from: a loss that asks it, rows as it knows them, and the same question."""
    key, text, path = "loss.teacher", experiment.loss.teacher, experiment.loss.function["_target_"]
    is_asked = bool(read_constant(path, "ASKS_TEACHER"))
    for name, part in list_parts(experiment).items():
        if part.loss is not None and part.loss.teacher is not None:
            rule = "the members of a blend learn from one teacher: that of the experiment"
            yield Problem(f"model.members.{name}.loss.teacher", rule, "name it at loss.teacher")
    if text is None:
        if is_asked:
            rule = f"{path} learns from a teacher: a bundle must be named"
            yield Problem(key, rule, "name a run, such as runs/NAME-ID, or NAME@champion")
        return
    if not is_asked:
        yield Problem(key, f"{path} asks no teacher", "add the override loss=distill, or set it to null")
        return
    if experiment.augmentation["_target_"] != NO_AUGMENTATION:
        rule = "the teacher is asked about rows as they are, not about mixed ones"
        yield Problem("augmentation._target_", rule, "add augmentation=none")
    if experiment.data.labels is not None:
        rule = "rows that rules label are written once for each class, and a teacher answers once for each row"
        yield Problem(key, rule, "set it to null, or data.labels to null")
    if experiment.schedule.shuffle_buffer is not None:
        rule = "what the teacher says of each row is kept in memory, and rows are streamed from disk"
        yield Problem("schedule.shuffle_buffer", rule, "set it to null")
    found = list(_check_place(text, key=key, experiment=experiment, root=root))
    yield from found or _check_question(experiment, _locate(text, experiment, root)[1], key=key)


def check_champion(experiment: Experiment, *, root: Path) -> Iterator[Problem]:
    """A bundle that is evaluated beside the model: of the same task and label, from columns that the examples have."""
    key, text = "evaluation.champion", experiment.evaluation.champion
    if text is not None:
        found = list(_check_place(text, key=key, experiment=experiment, root=root))
        yield from found or _check_question(experiment, _locate(text, experiment, root)[1], key=key)


def _check_place(text: str, *, key: str, experiment: Experiment, root: Path) -> Iterator[Problem]:
    """A bundle that is there, and the one that it was."""
    (place, digest) = split_source(text)
    try:
        _, bundle = _locate(text, experiment, root)
    except TreadleError as error:
        yield Problem(key, str(error), f"or name a run that was trained: {key}=runs/NAME-ID")
        return
    if bundle is None:
        yield Problem(key, f"no bundle in {place!r}", "name a run that was trained, such as runs/NAME-ID")
    elif digest and not is_reference(text) and digest_source(bundle) != digest:
        yield Problem(key, f"the bundle in {place!r} is another one now", f"{key}={place}")


def _locate(text: str, experiment: Experiment, root: Path) -> tuple[str, Path | None]:
    """The place of a bundle, and its folder where there is one; `champion` is the experiment's own, if it has one.

    Raises:
        TreadleError: there is no such champion, or its bundle is nowhere.
    """
    if not is_reference(text):
        return split_source(text)[0], find_source(text, root=root)
    own = experiment.name in list_models(root) and text in {CHAMPION, CHALLENGER}
    folder = find_bundle(f"{experiment.name}@{text}" if own else text, root=root)
    place = folder.relative_to(root) if folder.is_relative_to(root) else folder
    return place.as_posix(), find_source(place.as_posix(), root=root)


def _check_question(experiment: Experiment, bundle: Path | None, *, key: str) -> Iterator[Problem]:
    """The bundle predicts the same label, from columns that the examples have."""
    assert bundle is not None, "it was found"
    what = key.rpartition(".")[2]
    fix = f"name a {what} of this task, or train one"
    card, recipe = (read_json(bundle / name) for name in ("bundle.json", "experiment.json"))
    examples = experiment.data.examples
    if (task := card.get("task")) != experiment.data.answer:
        yield Problem(key, f"the {what} is for the task {task!r}; data.task is {experiment.data.answer!r}", fix)
        return
    label = _get(recipe, "data", "examples", "label")
    if _normalise(label) != _normalise(examples.label):
        yield Problem(key, f"the {what} predicts {label!r}; data.examples.label is {examples.label!r}", fix)
    given = list_example_columns(experiment.data)
    unknown = [name for name in card.get("columns", {}) if name not in given]
    if unknown:
        shown = ", ".join(unknown[:_MOST]) + (f" and {len(unknown) - _MOST} more" if len(unknown) > _MOST else "")
        rule = f"the {what} reads columns that data.examples does not give: {shown}"
        yield Problem(key, rule, fix, hint=nearest(unknown[0], given))


def _normalise(label: object) -> object:
    """Expressions without what spaces they were written with; of several labels with their names, in their order."""
    if isinstance(label, dict):
        return [(name, _normalise(text)) for name, text in label.items()]
    return label.split() if isinstance(label, str) else label


def find_seen_rows(experiment: AnyExperiment, *, root: Path) -> Iterator[Problem]:
    """A warning of a bundle that was trained on rows which judge this model: of the same tables, by another split."""
    if not isinstance(experiment, Experiment):
        return
    for key, text in list_source_bundles(experiment):
        bundle = find_source(text, root=root)
        if bundle is None:
            continue
        card, recipe = (read_json(bundle / name) for name in ("bundle.json", "experiment.json"))
        now, before = experiment.data.model_dump(mode="json"), recipe.get("data", {})
        if before.get("tables") == now["tables"] and _has_seen(card, before.get("split", {}), now["split"], key=key):
            rule = "this bundle was trained on rows that validate or test this model: its metrics will flatter"
            yield Problem(key, rule, "name a bundle of the same split, or of an earlier one")


def _has_seen(card: dict[str, Any], before: dict[str, Any], now: dict[str, Any], *, key: str) -> bool:
    if before == now:
        return "valid" in card.get("trained_on", []) and key != "evaluation.champion"
    if before.get("by") != "time" or now["by"] != "time":
        return True
    seen = before["test_from" if "valid" in card.get("trained_on", []) else "valid_from"]
    held = now["test_from" if key == "evaluation.champion" else "valid_from"]
    return parse_moment(seen) > parse_moment(held)


def _get(node: Any, *keys: str) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def settle_source_bundles(experiment: Experiment, *, root: Path) -> Experiment:
    """Each bundle with its digest beside its place."""
    changed: dict[str, Any] = {}
    for key, text in list_source_bundles(experiment):
        section, _, name = key.partition(".")
        settled = {name: _settle(text, experiment, root)}
        changed[section] = getattr(experiment, section).model_copy(update=settled)
    return experiment.model_copy(update=changed)


def _settle(text: str, experiment: Experiment, root: Path) -> str:
    place, bundle = _locate(text, experiment, root)
    assert bundle is not None, "the check has found it"
    return settle_source(place, bundle)
