"""Open the record of a run with the tracker that the experiment chooses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Tracker
from treadle.tracking import csv, mlflow, tensorboard, wandb
from treadle.tracking.record import Place, Record, Recorded, explain_missing


class _Vendor(Protocol):
    """What the module of a tracker offers; `settings` are of its own kind."""

    def open_record(self, run: Recorded, *, settings: Any) -> AbstractContextManager[Record]:
        """Open the record: that of the same training goes on where it ended, and it is finished in any case."""

    def is_asked_for_another(self, folder: RunFolder, *, settings: Any) -> bool:
        """Whether done stages are to be recorded anew."""

    def locate_record(self, folder: RunFolder, *, settings: Any) -> Place:
        """Where the record of a run is found."""


_VENDORS: dict[str, _Vendor] = {"csv": csv, "mlflow": mlflow, "tensorboard": tensorboard, "wandb": wandb}


def open_record(run: Recorded, *, settings: Tracker) -> AbstractContextManager[Record]:
    """The record of a run: that of the same training goes on where it ended, and it is finished in any case.

    Raises:
        TreadleError: the tracker's library is not installed, or the record cannot be opened.
    """
    missing = explain_missing(settings.by)
    if missing is not None:
        raise TreadleError(f"tracker.by: {missing}")
    return _VENDORS[settings.by].open_record(run, settings=settings)


def is_asked_for_another(folder: RunFolder, *, settings: Tracker) -> bool:
    """Whether done stages are to be recorded: with a tracker that has no record yet, or for an agent of W&B."""
    return _VENDORS[settings.by].is_asked_for_another(folder, settings=settings)


def locate_record(folder: RunFolder, *, settings: Tracker) -> Place:
    """Where the record of a run is found."""
    return _VENDORS[settings.by].locate_record(folder, settings=settings)
