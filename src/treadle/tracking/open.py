"""Open the record of a run with the tracker that the experiment chooses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import CsvTracker, MlflowTracker, TensorBoardTracker, Tracker
from treadle.tracking import csv, mlflow, tensorboard, wandb
from treadle.tracking.membership import Membership
from treadle.tracking.record import Record, explain_missing, has_record


def open_record(
    settings: Tracker,
    *,
    folder: RunFolder,
    root: Path,
    name: str,
    signature: str,
    config: dict[str, Any],
    about: dict[str, Any],
    membership: Membership | None,
) -> AbstractContextManager[Record]:
    """The record of a run: that of the same training goes on where it ended, and it is finished in any case.

    Args:
        settings: the tracker.
        folder: the run's, in which records or what identifies them lie.
        root: the project.
        name: under which the run is shown.
        signature: of what is being trained.
        config: the resolved experiment, plain values.
        about: provenance.
        membership: the run's place in a sweep.

    Raises:
        TreadleError: the tracker's library is not installed, or the record cannot be opened.
    """
    missing = explain_missing(settings.by)
    if missing is not None:
        raise TreadleError(f"tracker.by: {missing}")
    match settings:
        case TensorBoardTracker():
            return tensorboard.open_events(folder.tensorboard, signature=signature, config=config)
        case CsvTracker():
            return csv.open_tables(folder.csv, signature=signature, config=config)
        case MlflowTracker():
            return mlflow.open_mlflow(
                settings=settings,
                folder=folder.mlflow,
                root=root,
                name=name,
                signature=signature,
                config=config,
                about=about,
                membership=membership,
            )
    return wandb.track(
        settings=settings,
        folder=folder,
        name=name,
        signature=signature,
        config=config,
        about=about,
        membership=membership,
    )


def is_asked_for_another(settings: Tracker, folder: RunFolder) -> bool:
    """Whether done stages are to be recorded: with a tracker that has no record yet, or for an agent of W&B."""
    match settings:
        case TensorBoardTracker():
            return not has_record(folder.tensorboard)
        case CsvTracker():
            return not has_record(folder.csv)
        case MlflowTracker():
            return not has_record(folder.mlflow)
    return settings.mode != "disabled" and wandb.is_asked_for_another(folder)


class Place(NamedTuple):
    """Where a record is found."""

    title: str  # of the tracker
    where: str


def locate_record(settings: Tracker, folder: RunFolder) -> Place:
    """Where the record of a run is found."""
    match settings:
        case TensorBoardTracker():
            return Place("events", str(folder.tensorboard))
        case CsvTracker():
            return Place("tables", str(folder.csv))
        case MlflowTracker():
            return Place("MLflow", f"experiment {settings.experiment} at {settings.uri}")
    kept = sorted(folder.wandb.glob("offline-run-*"))
    return Place("W&B run", str(kept[-1]) if kept else "not recorded offline")
