"""Data of a learner that are not there yet: its datamodule may write them before they identify the run."""

from __future__ import annotations

from pathlib import Path

from treadle.check.lightning import list_writers
from treadle.errors import TreadleError
from treadle.experiment.files import list_below
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import CACHE
from treadle.experiment.spec import LearnerExperiment
from treadle.pipeline.locks import Notify, hold_lock


def write_absent_data(resolved: Resolved, *, root: Path, notify: Notify) -> bool:
    """Where a path of `depends` has no file, let `prepare_data` write it; gives whether it was called.

    One process at a time does so; the others wait for it.

    Raises:
        TreadleError: the path has no file after that either.
    """
    experiment = resolved.experiment
    if not isinstance(experiment, LearnerExperiment) or _find_absent(experiment, root) is None:
        return False
    writers = list_writers(experiment)
    if not writers:
        return False  # whoever signs the run reports the path
    cache = root / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    with hold_lock(cache / ".lock", notify=notify, what="the data"):
        absent = _find_absent(experiment, root)
        if absent is None:
            return False
        from treadle.learners.prepare import prepare_data

        owners = " and ".join(writers)
        notify(f"{'data':<10} {absent!r} is absent: prepare_data of {owners} writes it …")
        prepare_data(experiment)
    left = _find_absent(experiment, root)
    if left is not None:
        raise TreadleError(
            f"depends: prepare_data of {owners} has run, and there is no file at {left!r} in {root}; "
            "name what it writes"
        )
    return True


def _find_absent(experiment: LearnerExperiment, root: Path) -> str | None:
    return next((path for path in experiment.depends if not list_below(path, root=root)), None)
