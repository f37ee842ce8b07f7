"""The members of a blend: each is a run of its own up to its bundle, before the blend weighs them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from treadle.experiment.identity import sign_stages
from treadle.experiment.members import count_folds, resolve_members
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import get_stage
from treadle.pipeline.cache import find_entry
from treadle.pipeline.record import Run
from treadle.pipeline.side_by_side import count_processes, make_side_by_side


def train_members(current: Run) -> dict[str, RunFolder]:
    """The runs of each member; what exists is taken over, from whatever made it. Empty where the model is no blend."""
    from treadle.pipeline.run import run  # which this stage is a part of

    experiment = current.experiment
    has_folds = isinstance(experiment, Experiment) and count_folds(experiment) is not None
    members = resolve_members(current.resolved)
    if current.membership is None:  # the trials of a sweep run side by side already
        _make_missing(current, members, keeps_unsplit=has_folds)
    folders = {}
    for name, resolved in members.items():
        notify = partial(_notify, current, name)
        made = run(resolved, root=current.root, upto="train", notify=notify, code=current.code, keeps_unsplit=has_folds)
        folders[name] = made.folder
    return folders


def _make_missing(current: Run, members: Mapping[str, Resolved], *, keeps_unsplit: bool) -> None:
    """Make the runs that are missing side by side, where they are so many that it pays."""
    missing = {name: resolved for name, resolved in members.items() if not _is_made(resolved, root=current.root)}
    num_processes = count_processes(current.experiment, num_runs=len(missing))
    if num_processes > 1:
        current.notify(f"  {len(missing)} trainings, {num_processes} at once")
        make_side_by_side(
            missing, num_processes=num_processes, root=current.root, keeps_unsplit=keeps_unsplit, notify=current.notify
        )


def _is_made(resolved: Resolved, *, root: Path) -> bool:
    """Whether the training is in the cache."""
    signature = sign_stages(resolved, root=root)["train"]
    return find_entry(root, get_stage("train", resolved.values), signature).exists()


def _notify(current: Run, name: str, line: str) -> None:
    current.notify(f"  {name}: {line}")
