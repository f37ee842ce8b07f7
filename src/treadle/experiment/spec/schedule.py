"""Group `schedule`: optimizer, learning rate, batches, and when training stops."""

from __future__ import annotations

from pydantic import Field

from treadle.experiment.spec.base import Spec, Target
from treadle.schema import Count, Refit, Sampling, StartOptimizer


class EarlyStopping(Spec):
    """Stop when the monitored metric has not improved for `patience` epochs."""

    patience: int = Field(ge=1)
    """Number of epochs without improvement after which training stops [epochs]."""
    min_delta: float = Field(ge=0)
    """Minimum change of the metric that counts as an improvement."""


class Schedule(Spec):
    """How the model is trained: optimizer, learning rate, batches, and when to stop."""

    optimizer: Target
    """Optimizer; a `_target_`."""
    lr_schedule: Target
    """Learning-rate schedule: a factor of the learning rate per step; a `_target_`."""
    batch_size: int = Field(ge=1)
    """Rows per training step, over all processes [rows]."""
    sampling: Sampling = "shuffle"  # the default is for schedules of projects that are older than the key
    """How batches are drawn: shuffle (every row once per epoch), or balanced (each class equally often)."""
    shuffle_buffer: Count | None = None
    """Size of the shuffle buffer for rows that are streamed from disk; null: all rows are in memory [rows]."""
    max_epochs: int = Field(ge=1)
    """Maximum number of passes over the training set [epochs]."""
    max_steps: int | None = Field(ge=1)
    """Maximum number of optimizer steps; null: no limit [steps]."""
    gradient_clip: float | None = Field(gt=0)
    """Maximum L2 norm of the gradient (of each member of an ensemble); null: no clipping."""
    start_from: str | None = None  # the default is for schedules that are older than the key
    """Run, or folder of a bundle, with whose weights training begins; null: with random ones."""
    start_optimizer: StartOptimizer = "anew"  # as above
    """With `start_from`, whether the optimizer begins anew, or continues with the state, such as Adam's moments, that
    the training of the bundle left in its run. The learning-rate schedule begins anew."""
    monitor: str
    """Validation metric by which the best epoch's weights are kept."""
    early_stopping: EarlyStopping | None
    """When to stop before `max_epochs`; null: never."""
    refit: Refit = "none"  # the default is for schedules of projects that are older than the key
    """Whether the model is trained anew on the training and validation sets, for the best number of epochs."""
