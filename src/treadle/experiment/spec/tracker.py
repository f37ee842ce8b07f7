"""Group `tracker`: with which tracker a run is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from treadle.experiment.spec.base import Spec, is_unset


def _check_project(text: str) -> str:
    if not set(text).isdisjoint("/\\#?%:"):
        raise ValueError("must not contain / \\ # ? % :, which W&B refuses")
    return text


# Limits of W&B.
RecordProject = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_project)]
RecordTag = Annotated[str, Field(min_length=1, max_length=64)]
RecordName = Annotated[str, Field(min_length=1, max_length=128)]


class WandbTracker(Spec):
    """A run in W&B. The plain files of the run folder are always written.

    W&B's environment variables take precedence: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY, WANDB_RUN_GROUP,
    WANDB_JOB_TYPE, WANDB_NAME and WANDB_NOTES; the tags of WANDB_TAGS are added. `mode: disabled` overrides them all.
    """

    by: Literal["wandb"] = "wandb"  # the default is for trackers of projects that are older than the key
    """Tracker with which the run is recorded."""
    mode: Literal["offline", "online", "disabled"]
    """W&B mode: offline (to upload later), online (live), or disabled (not in W&B)."""
    project: RecordProject
    """W&B project."""
    entity: RecordName | None
    """W&B user or team; null: the account's default."""
    tags: list[RecordTag]
    """Tags of the run in W&B."""
    # The defaults are for trackers of projects that are older than the keys.
    group: RecordName | None = None
    """Group of runs in W&B, such as the folds of one experiment; null: none."""
    job_type: RecordName | None = None
    """Job type of the run in W&B, such as train; null: none."""
    system_metrics: bool = False
    """Whether use of CPU, memory, disk and GPU is recorded during the run."""
    upload_bundle: bool
    """Whether the bundle is uploaded as a W&B artifact, in mode online."""
    registry: RecordName | None = Field(default=None, exclude_if=is_unset)
    """Registry of W&B, such as model, in which the champion's artifact gets the alias champion; null: none."""


class TensorBoardTracker(Spec):
    """Event files of TensorBoard, in the folder `tensorboard` of the run."""

    by: Literal["tensorboard"]
    """Tracker with which the run is recorded."""


class CsvTracker(Spec):
    """Tables in the folder `csv` of the run: parameters, metrics by step and name, and metrics of the test split."""

    by: Literal["csv"]
    """Tracker with which the run is recorded."""


class MlflowTracker(Spec):
    """A run in MLflow, in a local database or on a server.

    MLflow's environment variables take precedence: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and MLFLOW_RUN_NAME.
    """

    by: Literal["mlflow"]
    """Tracker with which the run is recorded."""
    uri: str = Field(min_length=1)
    """Address of the tracking server, or of an SQLite database with its path relative to the project."""
    experiment: str = Field(min_length=1)
    """Experiment of MLflow that the run belongs to."""
    tags: dict[str, str]
    """Tags of the run in MLflow."""
    upload_bundle: bool
    """Whether the bundle is logged as an artifact of the run."""


def _find_tag(value: Any) -> str:
    given = value.get("by", "wandb") if isinstance(value, Mapping) else getattr(value, "by", "wandb")
    return str(given)


Tracker = Annotated[
    Annotated[WandbTracker, Tag("wandb")]
    | Annotated[TensorBoardTracker, Tag("tensorboard")]
    | Annotated[CsvTracker, Tag("csv")]
    | Annotated[MlflowTracker, Tag("mlflow")],
    Discriminator(_find_tag),
]
