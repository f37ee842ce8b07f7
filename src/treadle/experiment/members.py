"""The members of a blend as experiments: each is the blend's own with another model, and a run of its own.

Where a blend takes all folds of its split, a member is several runs, one a fold, each of which is validated on another
part of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from treadle.experiment.resolved import Resolved
from treadle.experiment.spec import Blend, Experiment, Member, ModelRule, RandomFolds, WandbTracker
from treadle.experiment.stages import STAGES, name_member_code


def list_members(experiment: Experiment) -> dict[str, Experiment]:
    """The experiment of each member, or candidate, by name, as it would be composed by itself; of its folds the one."""
    return {name: _take(experiment, member) for name, member in list_parts(experiment).items()}


def list_parts(experiment: Experiment) -> Mapping[str, Member]:
    """The members of a blend, or the candidates of a rule; none where the model is neither."""
    model = experiment.model
    return model.members if isinstance(model, Blend) else model.candidates if isinstance(model, ModelRule) else {}


def change_parts(experiment: Experiment, change: Callable[[Experiment], Experiment]) -> Experiment:
    """The experiment with the sections that members, or candidates, have of their own as `change` makes them."""
    if isinstance(experiment.model, dict):
        return experiment
    parts = dict(list_parts(experiment))
    for name, member in list_members(experiment).items():
        changed = change(member)
        own = {section: getattr(changed, section) for section in parts[name].given}
        parts[name] = parts[name].model_copy(update=own)
    model = experiment.model.model_copy(
        update={"members" if isinstance(experiment.model, Blend) else "candidates": parts}
    )
    return experiment.model_copy(update={"model": model})


def list_runs(experiment: Experiment) -> dict[str, list[str]]:
    """The names of the runs of each member: one, or one a fold in their order."""
    folds = count_folds(experiment)
    return {name: [name] if folds is None else name_folds(name, folds) for name in list_parts(experiment)}


def count_folds(experiment: Experiment) -> int | None:
    """How many folds each member is trained on; None: on that of the experiment alone."""
    model, split = experiment.model, experiment.data.split
    if not isinstance(model, Blend) or model.folds == "one":
        return None
    assert isinstance(split, RandomFolds), "it is checked"
    return split.num_folds


def name_folds(member: str, folds: int) -> list[str]:
    """The names of a member's runs, in the order of their folds."""
    return [f"{member}-fold{fold}" for fold in range(folds)]


def resolve_members(resolved: Resolved) -> dict[str, Resolved]:
    """The experiment of each run of each member, frozen, with the code that the blend was frozen with."""
    experiment = resolved.experiment
    if not isinstance(experiment, Experiment):
        return {}
    return {
        run: Resolved(one, _take_code(resolved.code, name))
        for name, member in list_members(experiment).items()
        for run, one in zip(list_runs(experiment)[name], _divide(member, count_folds(experiment)), strict=True)
    }


def _take(experiment: Experiment, member: Member) -> Experiment:
    return experiment.model_copy(update={**member.given, "model_choice": None})


def _divide(member: Experiment, folds: int | None) -> Iterator[Experiment]:
    """The experiment of each fold; those beside one's own have no record of a tracker: there would be dozens."""
    if folds is None:
        yield member
        return
    for fold in range(folds):
        split = member.data.split.model_copy(update={"fold": fold})
        changed: dict[str, Any] = {"data": member.data.model_copy(update={"split": split})}
        if isinstance(member.tracker, WandbTracker):
            changed["tracker"] = member.tracker.model_copy(update={"mode": "disabled"})
        yield member.model_copy(update=changed)


def _take_code(code: dict[str, str], name: str) -> dict[str, str]:
    return {stage.name: code.get(name_member_code(stage.name, name), code[stage.name]) for stage in STAGES}
