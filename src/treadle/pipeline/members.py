"""The members of a blend: each is a run of its own up to its bundle, before the blend weighs them."""

from __future__ import annotations

from functools import partial

from treadle.experiment.members import count_folds, resolve_members
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.pipeline.record import Run


def train_members(current: Run) -> dict[str, RunFolder]:
    """The runs of each member; what exists is taken over, from whatever made it. Empty where the model is no blend."""
    from treadle.pipeline.run import run  # which this stage is a part of

    experiment = current.experiment
    has_folds = isinstance(experiment, Experiment) and count_folds(experiment) is not None
    folders = {}
    for name, resolved in resolve_members(current.resolved).items():
        notify = partial(_notify, current, name)
        made = run(resolved, root=current.root, upto="train", notify=notify, code=current.code, keeps_unsplit=has_folds)
        folders[name] = made.folder
    return folders


def _notify(current: Run, name: str, line: str) -> None:
    current.notify(f"  {name}: {line}")
