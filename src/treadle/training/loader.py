"""Batches by index: rows are in memory as tensors and are sliced, never collated one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch

from treadle.schema import Batch, Sampling
from treadle.training.sampling import draw_order


class Clock(Protocol):
    """Knows epoch, process and device of the training: Lightning's module does."""

    @property
    def current_epoch(self) -> int:
        """Epochs that are over."""

    @property
    def global_rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How the rows of an epoch are divided into batches.

    The order of an epoch depends on seed and epoch alone, so that a resumed run sees the same batches. With several
    processes `batch_size` counts the rows of all, and each takes every `num_processes`-th row of a batch.
    """

    batch_size: int
    shuffle_seed: int | None  # None: the rows' own order
    sampling: Sampling  # which rows an epoch holds, where they are shuffled
    max_batches: int | None  # of an epoch; None: all
    max_steps: int | None  # over all epochs; None: as many as there are
    num_processes: int
    clock: Clock
    min_rows: int = 1  # rows that a process needs of a last batch, where rows are shuffled; others are left out

    def count(self, num_rows: int) -> int:
        """Number of batches in this epoch; the last one ends where `max_steps` does."""
        min_rows = 1 if self.shuffle_seed is None else self.num_processes * self.min_rows
        whole = count_batches(num_rows, batch_size=self.batch_size, min_rows=min_rows, limit=self.max_batches)
        if self.max_steps is None:
            return whole
        return max(0, min(whole, self.max_steps - self.clock.current_epoch * whole))

    def make_generator(self) -> torch.Generator | None:
        """Of the order of this epoch; None: it is the rows' own."""
        if self.shuffle_seed is None:
            return None
        return torch.Generator().manual_seed(self.shuffle_seed * 1_000_003 + self.clock.current_epoch)


def count_batches(num_rows: int, *, batch_size: int, min_rows: int, limit: int | None) -> int:
    """Number of batches in a whole epoch.

    Args:
        num_rows: of the split.
        batch_size: of all processes together.
        min_rows: rows of a last batch that counts, of all processes together: one without a row would have no gradient
            to share, and a network may need two.
        limit: of batches; None: all.
    """
    full, rest = divmod(num_rows, batch_size)
    whole = full + int(rest >= min_rows or not full)
    return whole if limit is None else min(whole, limit)


class Loader(Protocol):
    """Gives the batches of an epoch, on the device of the network."""

    batching: Batching

    def __len__(self) -> int:
        """Number of batches in this epoch."""

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""

    def begin(self, first: int) -> Iterator[Batch]:
        """The epoch from a batch on, counted from 0; what is before it costs nothing."""


class BatchLoader:
    """Iterate over rows in memory, or on the device where they fit."""

    def __init__(self, rows: Batch, *, batching: Batching) -> None:
        self.rows = rows
        self.batching = batching

    def __len__(self) -> int:
        """Number of batches in this epoch."""
        return self.batching.count(len(self.rows.target))

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""
        return self.begin(0)

    def begin(self, first: int) -> Iterator[Batch]:
        """The epoch from a batch on."""
        batching, device = self.batching, self.batching.clock.device
        rows = self.rows = _place(self.rows, device)
        placed, kind = rows.target.device == device, type(rows)
        for index in islice(self._order().to(rows.target.device).split(batching.batch_size), first, len(self)):
            own = index if batching.num_processes == 1 else index[batching.clock.global_rank :: batching.num_processes]
            batch = kind(*[tensor.index_select(0, own) for tensor in rows])
            yield batch if placed else kind(*[tensor.to(device) for tensor in batch])

    def _order(self) -> torch.Tensor:
        target, generator = self.rows.target, self.batching.make_generator()
        if generator is None:
            return torch.arange(len(target))
        return draw_order(target, sampling=self.batching.sampling, generator=generator)


class ChunkLoader:
    """Iterate over chunks of batches: what Lightning does around a step, it does once a chunk.

    A chunk is an iterator that slices each batch on demand; it ends with the epoch at the latest. The state is the
    number of batches done in the epoch: Lightning keeps it in checkpoints, and resumes there.
    """

    def __init__(self, batches: Loader, *, chunk_size: int) -> None:
        self.batches = batches
        self.chunk_size = chunk_size
        self.done = 0  # batches of this epoch that are given out
        self.resumed = {"epoch": -1, "batches": 0}  # batches that another process has done of an epoch

    def __len__(self) -> int:
        """Number of chunks in this epoch."""
        return math.ceil(len(self.batches) / self.chunk_size)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        """One epoch, or what is left of it. A chunk must be used up before the next is taken."""
        is_begun = self.resumed["epoch"] == self._epoch
        self.done = self.resumed["batches"] if is_begun else 0
        batches = self.batches.begin(self.done)
        while self.done < len(self.batches):
            self.done += min(self.chunk_size, len(self.batches) - self.done)
            yield islice(batches, self.chunk_size)

    @property
    def _epoch(self) -> int:
        return self.batches.batching.clock.current_epoch

    def state_dict(self) -> dict[str, int]:
        """Plain values for the checkpoint; valid between two chunks."""
        return {"epoch": self._epoch, "batches": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take the place of the checkpoint."""
        self.resumed = state


def _place(rows: Batch, device: torch.device) -> Batch:
    """The rows on the device, so that no batch has to travel; where they would fill half of a GPU, as they are."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if sum(tensor.nbytes for tensor in rows if tensor.device != device) > free // 2:
            return rows
    return type(rows)(*(tensor.to(device) for tensor in rows))
