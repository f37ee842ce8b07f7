"""Batches by index: rows lie in memory as tensors and are sliced, never collated one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

from treadle.schema import Batch


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
        epoch: Callable[[], int],
        rank: Callable[[], int],
        num_processes: int,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed  # None: the rows' own order
        self.epoch = epoch
        self.rank = rank
        self.num_processes = num_processes

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.rows.target) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""
        order = self._order()
        for start in range(0, len(self.rows.target), self.batch_size):
            index = order[start : start + self.batch_size][self.rank() :: self.num_processes]
            yield Batch(*(tensor.index_select(0, index) for tensor in self.rows))

    def _order(self) -> torch.Tensor:
        num_rows = len(self.rows.target)
        if self.shuffle_seed is None:
            return torch.arange(num_rows)
        generator = torch.Generator().manual_seed(self.shuffle_seed * 1_000_003 + self.epoch())
        return torch.randperm(num_rows, generator=generator)
