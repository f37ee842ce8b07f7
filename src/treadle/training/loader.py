"""Batches by index: rows lie in memory as tensors and are sliced, never collated one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import torch

from treadle.schema import Batch


class Clock(Protocol):
    """Who knows where training stands: Lightning's module does."""

    @property
    def current_epoch(self) -> int:
        """Epochs that are over."""

    @property
    def global_rank(self) -> int:
        """Number of this process, from 0."""


class BatchLoader:
    """Iterate over the rows in batches.

    The order of an epoch depends on seed and epoch alone, so that a resumed run sees the same batches. Across
    processes, `batch_size` is that of all together, and each process takes every `num_processes`-th row of a batch.
    """

    def __init__(
        self,
        rows: Batch,
        *,
        batch_size: int,
        shuffle_seed: int | None,
        max_steps: int | None,
        num_processes: int,
        clock: Clock,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed  # None: the rows' own order
        self.max_steps = max_steps  # over all epochs; None: as many as there are
        self.num_processes = num_processes
        self.clock = clock

    def __len__(self) -> int:
        """Number of batches in this epoch; the last one ends where `max_steps` does."""
        whole = math.ceil(len(self.rows.target) / self.batch_size)
        return (
            whole if self.max_steps is None else max(0, min(whole, self.max_steps - self.clock.current_epoch * whole))
        )

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""
        order = self._order()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            index = order[start : start + self.batch_size][self.clock.global_rank :: self.num_processes]
            yield Batch(*(tensor.index_select(0, index) for tensor in self.rows))

    def _order(self) -> torch.Tensor:
        num_rows = len(self.rows.target)
        if self.shuffle_seed is None:
            return torch.arange(num_rows)
        generator = torch.Generator().manual_seed(self.shuffle_seed * 1_000_003 + self.clock.current_epoch)
        return torch.randperm(num_rows, generator=generator)
