"""The members of a blend as experiments: each is the blend's own with another model, and a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from treadle.experiment.resolved import Resolved
from treadle.experiment.spec import Blend, Experiment, Member, ModelRule
from treadle.experiment.stages import STAGES, name_member_code


def list_members(experiment: Experiment) -> dict[str, Experiment]:
    """The experiment of each member, or candidate, by name, as it would be composed by itself."""
    return dict(_list_members(experiment))


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


def resolve_members(resolved: Resolved) -> dict[str, Resolved]:
    """The same, frozen, with the code that the blend was frozen with."""
    experiment = resolved.experiment
    if not isinstance(experiment, Experiment):
        return {}
    return {
        name: Resolved(member, _take_code(resolved.code, name)) for name, member in list_members(experiment).items()
    }


def _list_members(experiment: Experiment) -> Iterator[tuple[str, Experiment]]:
    for name, member in list_parts(experiment).items():
        yield name, experiment.model_copy(update={**member.given, "model_choice": None})


def _take_code(code: dict[str, str], name: str) -> dict[str, str]:
    return {stage.name: code.get(name_member_code(stage.name, name), code[stage.name]) for stage in STAGES}
