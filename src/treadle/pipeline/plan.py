"""The plan of a command (`--why`): what it would do with each stage, and why. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from treadle.errors import TreadleError
from treadle.experiment import dvc_lock
from treadle.experiment.changes import find_reruns, list_changes
from treadle.experiment.identity import name_run, sign_stages
from treadle.experiment.resolved import Resolved, read_values
from treadle.experiment.run_folder import CACHE, RUNS, RunFolder
from treadle.experiment.stages import Stage, Values, find_reader, list_needed
from treadle.pipeline.cache import find_entry
from treadle.pipeline.record import find_run_damage, is_done, list_runs, read_signatures

MAX_RUNS = 50  # newest ones that a stage is compared with


@dataclass(frozen=True)
class PlannedStage:
    """What a stage would do, and why."""

    stage: str
    state: Literal["would run", "would be shared", "unchanged"]
    reasons: list[str]


def plan_run(resolved: Resolved, *, root: Path, upto: str) -> list[PlannedStage]:
    """What each stage up to `upto` would do, and why, compared with the run that differs least."""
    return next(plan_runs([resolved], root=root, upto=upto))


def plan_runs(many: Iterable[Resolved], *, root: Path, upto: str) -> Iterator[list[PlannedStage]]:
    """The same for each of several experiments, as if it ran alone."""
    past = _Past(root)
    for resolved in many:
        signatures = sign_stages(resolved, root=root, remember=False)
        folder = RunFolder(root / RUNS / name_run(resolved, signatures))
        yield [
            _plan(stage, resolved.values, signatures, folder=folder, past=past)
            for stage in list_needed(upto, resolved.values)
        ]


def _plan(stage: Stage, values: Values, signatures: dict[str, str], *, folder: RunFolder, past: _Past) -> PlannedStage:
    signature, where = signatures[stage.name], folder.path.relative_to(past.root)
    damage = None
    if is_done(folder, stage, signature):
        damage = find_run_damage(folder, stage)
        if damage is None:
            return PlannedStage(stage.name, "unchanged", [f"{where} has it"])
    entry = find_entry(past.root, stage, signature)
    if entry.exists() and entry.find_damage() is None:
        return PlannedStage(stage.name, "would be shared", [f"{CACHE} has it"])
    if damage is not None:
        return PlannedStage(stage.name, "would run", [f"its result in {where} is damaged: {damage}"])
    return PlannedStage(stage.name, "would run", _explain(stage, values, signatures, past))


class _Past:
    """The signatures and the values of the newest runs, read once, on first use."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def runs(self) -> dict[str, tuple[dict[str, str], Values]]:
        newest = sorted(list_runs(self.root), key=lambda folder: folder.path.stat().st_mtime, reverse=True)[:MAX_RUNS]
        read = {f"{RUNS}/{folder.path.name}": (read_signatures(folder), _read_values(folder)) for folder in newest}
        return {name: (signatures, values) for name, (signatures, values) in read.items() if values is not None}


def _read_values(folder: RunFolder) -> Values | None:
    """The values of a run; None where they are missing or damaged: nothing is compared with it then."""
    try:
        return read_values(folder.resolved)
    except (OSError, TreadleError):
        return None


def _explain(stage: Stage, values: Values, signatures: dict[str, str], past: _Past) -> list[str]:
    """Why no run has the stage's result: what differs from the nearest one."""
    others = {name: run for name, run in past.runs.items() if stage.name in run[0]}
    if not others:
        return ["no run has done it yet"]
    nearest = min(others, key=lambda name: len(list_changes(others[name][1], values)))
    record, before = others[nearest]
    if record[stage.name] == signatures[stage.name]:
        return [f"{nearest} did it, and its result is gone"]
    first = find_reader(values).name
    new_data = first not in find_reruns(before, values) and record.get(first) != signatures[first]
    reasons = find_reruns(before, values, new_data=new_data).get(stage.name, ["another resolved.yaml"])
    return [*reasons, f"since {nearest}"]


def plan_stage(name: str, *, resolved: Resolved, folder: Path, root: Path) -> PlannedStage:
    """What `dvc repro` would do with one stage, compared with what dvc.lock records of it.

    Args:
        name: of the stage.
        resolved: the experiment that it would run.
        folder: where its results are.
        root: the project.
    """
    stages = dvc_lock.read_stages(root)
    outputs = [root / output for output in dvc_lock.read_outputs(stages.get(name, {}))]
    if not any(output.is_relative_to((root / folder).resolve()) for output in outputs):
        return PlannedStage(name, "would run", [f"{dvc_lock.LOCK} names no result of it in {folder}"])
    new_data = dvc_lock.read_used_data(stages) != dvc_lock.read_data_version(root)
    slices = {
        stage.name: dvc_lock.read_slice(stage.name, stage=stages.get(stage.name, {}), resolved=resolved, root=root)
        for stage in list_needed(name, resolved.values)
    }
    before = {key: value for found in slices.values() for key, value in (found or {}).items()}
    reasons = find_reruns(before, resolved.values, new_data=new_data).get(name, [])
    if slices[name] is None:
        reasons = ["other values or other code"]
    reasons += [f"{output.relative_to(root)} is missing" for output in outputs if not output.exists()]
    if not reasons:
        return PlannedStage(
            name, "unchanged", [f"{dvc_lock.LOCK} has it by the same values, code and version of the data"]
        )
    return PlannedStage(name, "would run", [*reasons, "unless DVC knows the result already"])
