"""Group `tracker`: how a run is recorded in W&B."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from treadle.experiment.spec.base import Spec


def _check_project(text: str) -> str:
    if not set(text).isdisjoint("/\\#?%:"):
        raise ValueError("must not contain / \\ # ? % :, which W&B refuses")
    return text


# Limits of W&B.
RecordProject = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_project)]
RecordTag = Annotated[str, Field(min_length=1, max_length=64)]
RecordName = Annotated[str, Field(min_length=1, max_length=128)]


class Tracker(Spec):
    """How the run is recorded in W&B. The plain files of the run folder are always written.

    W&B's environment variables take precedence: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY, WANDB_RUN_GROUP,
    WANDB_JOB_TYPE, WANDB_NAME and WANDB_NOTES; the tags of WANDB_TAGS are added. `mode: disabled` overrides them all.
    """

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
