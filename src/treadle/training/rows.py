"""The rows of a split as training reads them: from memory, or streamed from disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, cast

import torch
from torch import Tensor

from treadle.experiment.spec import Experiment
from treadle.features.stored import StoredRows, load_rows
from treadle.schema import Batch, TaughtBatch
from treadle.tasks import TRAITS
from treadle.training.loader import Batching, BatchLoader, Loader
from treadle.training.losses import build_loss
from treadle.training.scaling import Scaling, measure_scaling
from treadle.training.stream import DiskRows


class Rows(Protocol):
    """Rows of a split, wherever they are."""

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def scale(self, scaling: Scaling) -> Self:
        """The same rows with weights and targets scaled."""

    def read_targets(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Targets and weights, some rows at a time."""

    def take_first(self, count: int) -> Batch:
        """The first `count` rows, or all where there are fewer."""

    def sample_numeric(self) -> Tensor:
        """Numeric inputs `[M, N]` of all rows, or of a sample spread evenly over a split that is large."""

    def make_loader(self, batching: Batching) -> Loader:
        """The batches of an epoch."""


@dataclass(frozen=True)
class MemoryRows:
    """Rows that are in memory as tensors."""

    batch: Batch

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(self.batch.target)

    def scale(self, scaling: Scaling) -> MemoryRows:
        """The same rows with weights and targets scaled."""
        return MemoryRows(scaling.apply_to_rows(self.batch))

    def teach(self, taught: Tensor) -> MemoryRows:
        """The same rows with what a teacher predicts for each: batches of one tensor more, which the loss reads."""
        return MemoryRows(cast("Batch", TaughtBatch(*self.batch, taught)))

    def read_targets(self) -> Iterable[tuple[Tensor, Tensor]]:
        """All targets and weights at once."""
        return [(self.batch.target, self.batch.weight)]

    def take_first(self, count: int) -> Batch:
        """The first `count` rows, or all where there are fewer."""
        return type(self.batch)(*(tensor[:count] for tensor in self.batch))

    def sample_numeric(self) -> Tensor:
        """Numeric inputs `[M, N]` of all rows."""
        return self.batch.numeric

    def make_loader(self, batching: Batching) -> Loader:
        """The batches of an epoch."""
        return BatchLoader(self.batch, batching=batching)


def open_rows(features: Path, experiment: Experiment, *, classes: Sequence[str]) -> tuple[dict[str, Rows], Scaling]:
    """The scaled rows of the splits `train` and `valid`, and how they are scaled: by what `train` measures.

    Args:
        features: what the stage `featurize` wrote.
        experiment: checked; `schedule.shuffle_buffer` streams them from disk.
        classes: of a multiclass task.

    Raises:
        TreadleError: see `measure_scaling`.
    """
    rows = _open(features, experiment)
    scaling = measure_scaling(
        rows["train"].read_targets,
        experiment.loss.class_weights,
        classes=classes,
        loss=build_loss(experiment) if TRAITS[experiment.data.answer].is_value else None,
    )
    return {split: some.scale(scaling) for split, some in rows.items()}, scaling


def is_refitted(experiment: Experiment) -> bool:
    """Whether there is a second training; where a few rows are overfitted, they validate, too, and there is none."""
    return experiment.schedule.refit == "all" and experiment.trainer.overfit_batches is None


def join(rows: Mapping[str, Rows]) -> MemoryRows:
    """The rows of both splits; those of a class that training had not, which no output stands for, are left out."""
    train, valid = rows["train"], rows["valid"]
    assert isinstance(train, MemoryRows), "the check refuses to refit streamed rows"
    assert isinstance(valid, MemoryRows), "the check refuses to refit streamed rows"
    known = slice(None) if valid.batch.target.is_floating_point() else valid.batch.target >= 0
    parts = (train.batch, [tensor[known] for tensor in valid.batch])
    return MemoryRows(type(train.batch)(*map(torch.cat, zip(*parts, strict=True))))


def _open(features: Path, experiment: Experiment) -> Mapping[str, Rows]:
    schedule, num_overfit = experiment.schedule, experiment.trainer.overfit_batches
    if num_overfit is not None:
        few = MemoryRows(load_rows(features / "train", limit=num_overfit * schedule.batch_size))
        return {"train": few, "valid": few}
    splits = ("train", "valid")
    if (buffer_rows := schedule.shuffle_buffer) is not None:
        return {split: DiskRows(StoredRows.find(features / split), buffer_rows=buffer_rows) for split in splits}
    return {split: MemoryRows(load_rows(features / split)) for split in splits}
