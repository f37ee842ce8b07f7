"""Batches by index: rows lie in memory as tensors and are sliced, never collated one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

import torch

from treadle.schema import Batch, Sampling
from treadle.training.sampling import draw_order


class Clock(Protocol):
    """Who knows where training stands: Lightning's module does."""

    @property
    def current_epoch(self) -> int:
        """Epochs that are over."""

    @property
    def global_rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""


class BatchLoader:
    """Iterate over the rows in batches, on the device of the network.

    The order of an epoch depends on seed and epoch alone, so that a resumed run sees the same batches. Across
    processes, `batch_size` is that of all together, and each process takes every `num_processes`-th row of a batch.
    """

    def __init__(
        self,
        rows: Batch,
        *,
        batch_size: int,
        shuffle_seed: int | None,
        sampling: Sampling,
        max_batches: int | None,
        max_steps: int | None,
        num_processes: int,
        clock: Clock,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed  # None: the rows' own order
        self.sampling = sampling  # which rows an epoch holds, where they are shuffled
        self.max_batches = max_batches  # of an epoch; None: all
        self.max_steps = max_steps  # over all epochs; None: as many as there are
        self.num_processes = num_processes
        self.clock = clock

    def __len__(self) -> int:
        """Number of batches in this epoch; the last one ends where `max_steps` does."""
        whole = math.ceil(len(self.rows.target) / self.batch_size)
        if self.max_batches is not None:
            whole = min(whole, self.max_batches)
        if self.max_steps is not None:
            return max(0, min(whole, self.max_steps - self.clock.current_epoch * whole))
        return whole

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""
        device, rank = self.clock.device, self.clock.global_rank
        rows = self.rows = _place(self.rows, device)
        placed = rows.target.device == device
        for index in islice(self._order().to(rows.target.device).split(self.batch_size), len(self)):
            own = index if self.num_processes == 1 else index[rank :: self.num_processes]
            batch = Batch(*[tensor.index_select(0, own) for tensor in rows])
            yield batch if placed else Batch(*[tensor.to(device) for tensor in batch])

    def _order(self) -> torch.Tensor:
        num_rows = len(self.rows.target)
        if self.shuffle_seed is None:
            return torch.arange(num_rows)
        generator = torch.Generator().manual_seed(self.shuffle_seed * 1_000_003 + self.clock.current_epoch)
        return draw_order(self.rows.target, sampling=self.sampling, generator=generator)


class ChunkLoader:
    """Iterate over chunks of batches: what Lightning does around a step, it does once a chunk.

    A chunk is an iterator, which slices each batch when its turn comes; it ends with the epoch at the latest.
    """

    def __init__(self, batches: BatchLoader, *, chunk_size: int) -> None:
        self.batches = batches
        self.chunk_size = chunk_size

    def __len__(self) -> int:
        """Number of chunks in this epoch."""
        return math.ceil(len(self.batches) / self.chunk_size)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        """One epoch. A chunk must be used up before the next is taken."""
        batches = iter(self.batches)
        for _ in range(len(self)):
            yield islice(batches, self.chunk_size)


def _place(rows: Batch, device: torch.device) -> Batch:
    """The rows on the device, so that no batch has to travel; where they would fill half of a GPU, as they are."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if sum(tensor.nbytes for tensor in rows if tensor.device != device) > free // 2:
            return rows
    return Batch(*(tensor.to(device) for tensor in rows))
