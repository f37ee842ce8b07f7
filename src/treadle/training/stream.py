"""Rows that do not fit in memory, streamed from disk and shuffled in a buffer.

An epoch visits the files in an order drawn for it, some at a time: as many as the buffer holds. Their rows are
shuffled together, and while training uses them the next are read in another thread. Where the buffer holds the whole
split, the order is the one that `BatchLoader` draws.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, starmap

import torch
from torch import Tensor

from treadle.features.stored import Room, StoredRows
from treadle.schema import Batch
from treadle.threads import map_ahead
from treadle.training.loader import Batching, Loader
from treadle.training.scaling import Scaling

TRIM_S = 0.25  # between two times that free memory is given back: it takes some milliseconds
SAMPLE_ROWS = 1 << 18  # of a split on disk, at most, to which a network fits its inputs


@dataclass(frozen=True)
class DiskRows:
    """Rows that are read from disk as training needs them."""

    stored: StoredRows
    buffer_rows: int  # that are in memory at a time where they are shuffled
    scaling: Scaling | None = None  # None: targets as they are stored, in 64 bits
    sample_rows: int = SAMPLE_ROWS

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return self.stored.num_rows

    def scale(self, scaling: Scaling) -> DiskRows:
        """The same rows, whose weights and targets are scaled as they are read."""
        return replace(self, scaling=scaling)

    def read_targets(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Targets and weights, a file at a time."""
        parts = self.stored.read_targets()
        return parts if self.scaling is None else starmap(self.scaling.apply, parts)

    def take_first(self, count: int) -> Batch:
        """The first `count` rows, or all where there are fewer."""
        count = min(count, self.num_rows)
        return self.read(range(-(-count // self.stored.file_rows)), order=torch.arange(count))

    def sample_numeric(self) -> Tensor:
        """Numeric inputs `[M, N]` of files that are spread evenly over the split."""
        every = max(1, -(-self.num_rows // self.sample_rows))
        return self.stored.read(range(0, self.stored.num_files, every)).numeric

    def make_loader(self, batching: Batching) -> Loader:
        """The batches of an epoch; without shuffling a buffer need not be larger than a batch."""
        return StreamLoader(
            self,
            buffer_rows=batching.batch_size if batching.shuffle_seed is None else self.buffer_rows,
            batching=batching,
        )

    def read(self, files: Sequence[int], *, order: Tensor, room: Room | None = None) -> Batch:
        """Rows of some files, as `StoredRows.read` does, scaled."""
        rows = self.stored.read(files, order=order, room=room)
        return rows if self.scaling is None else self.scaling.apply_to_rows(rows)


class StreamLoader:
    """Iterate over rows on disk. Two buffers are in memory: the one in use, and the next."""

    def __init__(self, rows: DiskRows, *, buffer_rows: int, batching: Batching, trim_s: float = TRIM_S) -> None:
        self.rows = rows
        self.buffer_rows = buffer_rows
        self.batching = batching
        self.trim_s = trim_s

    def __len__(self) -> int:
        """Number of batches in this epoch."""
        return self.batching.count(self.rows.num_rows)

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""
        return self.begin(0)

    def begin(self, first: int) -> Iterator[Batch]:
        """The epoch from a batch on; buffers before it are not read."""
        device, reads = self.batching.clock.device, self._list_reads(first * self.batching.batch_size)
        ahead = map_ahead(_call, reads, num_threads=1)  # so that of two rooms one is free
        buffers = (Batch(*(tensor.to(device) for tensor in rows)) for rows in ahead)
        yield from _trim_between(cut_buffers(buffers, self._list_sizes(first)), every_s=self.trim_s)

    def _list_sizes(self, first: int) -> Iterator[int]:
        """Rows of each batch from one on, of this process."""
        batching = self.batching
        for batch in range(first, len(self)):
            whole = min(batching.batch_size, self.rows.num_rows - batch * batching.batch_size)
            yield len(range(batching.clock.global_rank, whole, batching.num_processes))

    def _list_reads(self, first: int) -> Iterator[Callable[[], Batch]]:
        """For each buffer what reads its rows, in order: those of this process, from a row of the epoch on."""
        start, rooms = 0, cycle((Room(), Room()))
        for files, order in self._plan():
            stop = start + len(order)
            if stop > first:
                begin = max(start, first)
                own = order[begin - start :][self._is_own(begin, stop)]
                yield partial(self.rows.read, files, order=own, room=next(rooms))
            start = stop

    def _plan(self) -> Iterator[tuple[list[int], Tensor]]:
        """The files of each buffer, and the order of their rows."""
        stored, generator = self.rows.stored, self.batching.make_generator()
        per_buffer = max(1, self.buffer_rows // stored.file_rows)
        files = torch.arange(stored.num_files)
        if generator is not None and per_buffer < stored.num_files:
            files = torch.randperm(stored.num_files, generator=generator)
        for group in files.split(per_buffer):
            chosen = sorted(group.tolist())
            count = sum(map(stored.count, chosen))
            yield chosen, torch.arange(count) if generator is None else torch.randperm(count, generator=generator)

    def _is_own(self, start: int, stop: int) -> Tensor | slice:
        """Which rows of a part of the epoch this process takes."""
        batching = self.batching
        if batching.num_processes == 1:
            return slice(None)
        return torch.arange(start, stop) % batching.batch_size % batching.num_processes == batching.clock.global_rank


def _call(read: Callable[[], Batch]) -> Batch:
    return read()


def _trim_between(batches: Iterator[Batch], *, every_s: float) -> Iterator[Batch]:
    """The same batches; now and then what is free in memory goes back to the system.

    The C library of Linux keeps what the steps free, in holes between what lives. They come and go, and their largest
    sum so far is the peak memory of a long training: 0.1 to 0.2 GB, by chance.
    """
    trim, due = _find_trim(), time.monotonic() + every_s
    for batch in batches:
        yield batch
        if time.monotonic() > due:
            trim()
            due = time.monotonic() + every_s


def _find_trim() -> Callable[[], object]:
    """What gives free memory back, `malloc_trim(0)` of glibc; elsewhere what does nothing."""
    if sys.platform != "linux":
        return lambda: None
    trim: Callable[[int], object] = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
    return partial(trim, 0)


def cut_buffers(buffers: Iterator[Batch], sizes: Iterable[int]) -> Iterator[Batch]:
    """Batches of these sizes, one after another, across the borders of buffers."""
    buffer, start = next(buffers, None), 0
    for size in sizes:
        assert buffer is not None
        parts, missing = [], size
        while missing > (left := len(buffer.target) - start):
            parts.append(_take(buffer, start, left))
            missing -= left
            buffer, start = next(buffers), 0
        parts.append(_take(buffer, start, missing))
        start += missing
        yield parts[0] if len(parts) == 1 else Batch(*map(torch.cat, zip(*parts, strict=True)))


def _take(rows: Batch, start: int, count: int) -> Batch:
    """A copy: a batch keeps no buffer in memory, and its own place there does not touch the sums of a product."""
    return Batch(*(tensor[start : start + count].clone() for tensor in rows))
