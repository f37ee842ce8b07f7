"""Rows that do not fit in memory: read from disk as training needs them, and shuffled in a buffer.

An epoch visits the files in an order drawn for it, some at a time: as many as the buffer holds. Their rows are
shuffled together, and while training uses them the next are read in another thread. Where the buffer holds the whole
split, the order is the one that `BatchLoader` draws.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import torch
from torch import Tensor

from treadle.features.stored import Room, StoredRows
from treadle.features.target import scale_target
from treadle.schema import Batch
from treadle.threads import map_ahead
from treadle.training.class_weights import ClassWeights, find_factors, weigh
from treadle.training.links import measure
from treadle.training.loader import BatchLoader, Cut, Loader
from treadle.training.losses import Loss

TRIM_S = 0.25  # between two times that free memory is given back: it takes some milliseconds
DRAWN_ROWS = 1 << 18  # of a split on disk, at most, that a network fits its inputs to


@dataclass(frozen=True)
class StreamedRows:
    """Rows of a split as training wants them."""

    stored: StoredRows
    factors: Tensor | None = None  # of weights, by class
    mean: float = 0.0  # by which the target is standardised
    scale: float = 1.0

    def adjust(self, rows: Batch) -> Batch:
        """Weights and targets as training wants them; the weights in place."""
        if self.factors is not None:
            rows.weight.copy_(weigh(rows, self.factors).weight)
        return rows._replace(target=scale_target(rows.target, mean=self.mean, scale=self.scale))

    def read_targets(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Targets and weights of some rows after another, as training wants them."""
        for target, weight in self.stored.read_targets():
            factors = 1.0 if self.factors is None else self.factors[target.long()]
            yield scale_target(target, mean=self.mean, scale=self.scale), weight * factors

    def has_weights(self) -> bool:
        """Whether some row counts more or less than another."""
        if self.factors is not None and bool((self.factors != 1).any()):
            return True
        return any(bool((weight != 1).any()) for _, weight in self.stored.read_targets())


def open_streams(
    features: Path, class_weights: ClassWeights, *, classes: list[str], loss: Loss | None
) -> dict[str, StreamedRows]:
    """The splits `train` and `valid`. What is taken of the training split is taken in a pass over its targets.

    Args:
        features: what the stage `featurize` wrote.
        class_weights: as for `weigh_classes`.
        classes: of a multiclass task.
        loss: of a regression, whose target is brought to mean 0 and deviation 1, or to mean 1 where its logarithm is
            predicted; None: of another task.
    """
    train, valid = (StoredRows.find(features / split) for split in ("train", "valid"))
    factors = find_factors(train.read_targets(), class_weights, classes=classes)
    mean, scale = measure(lambda: (target for target, _ in train.read_targets()), loss=loss)
    return {name: StreamedRows(rows, factors, mean, scale) for name, rows in (("train", train), ("valid", valid))}


Rows = Mapping[str, Batch] | Mapping[str, StreamedRows]  # of the splits `train` and `valid`


def count_rows(rows: Batch | StreamedRows) -> int:
    """How many there are."""
    return len(rows.target) if isinstance(rows, Batch) else rows.stored.num_rows


def read_targets(rows: Batch | StreamedRows) -> Iterable[tuple[Tensor, Tensor]]:
    """Targets and weights, some rows at a time."""
    return [(rows.target, rows.weight)] if isinstance(rows, Batch) else rows.read_targets()


def take_first(rows: Batch | StreamedRows, count: int) -> Batch:
    """So many rows, or all where there are fewer."""
    if isinstance(rows, Batch):
        return Batch(*(tensor[:count] for tensor in rows))
    stored = rows.stored
    count = min(count, stored.num_rows)
    return rows.adjust(stored.read(range(-(-count // stored.file_rows)), order=torch.arange(count)))


def draw_numbers(rows: Batch | StreamedRows) -> Tensor:
    """Numbers `[M, N]` that a network fits its inputs to: of all rows, or of files on disk that are spread evenly."""
    if isinstance(rows, Batch):
        return rows.numeric
    every = max(1, -(-rows.stored.num_rows // DRAWN_ROWS))
    return rows.stored.read(range(0, rows.stored.num_files, every)).numeric


def has_weights(rows: Batch | StreamedRows) -> bool:
    """Whether some row counts more or less than another."""
    return bool((rows.weight != 1).any()) if isinstance(rows, Batch) else rows.has_weights()


def make_loader(rows: Batch | StreamedRows, cut: Cut, *, buffer_rows: int | None) -> Loader:
    """The loader for where the rows lie; those on disk need a buffer."""
    if isinstance(rows, Batch):
        return BatchLoader(rows, cut=cut)
    assert buffer_rows is not None
    return StreamLoader(rows, buffer_rows=buffer_rows, cut=cut)


class StreamLoader:
    """Iterate over rows on disk. Two buffers are in memory: the one in use, and the next."""

    def __init__(self, rows: StreamedRows, *, buffer_rows: int, cut: Cut) -> None:
        self.rows = rows
        self.buffer_rows = buffer_rows
        self.cut = cut

    def __len__(self) -> int:
        """Number of batches in this epoch."""
        return self.cut.count(self.rows.stored.num_rows)

    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""
        return self.begin(0)

    def begin(self, first: int) -> Iterator[Batch]:
        """The epoch from a batch on; buffers before it are not read."""
        device, reads = self.cut.clock.device, self._list_reads(first * self.cut.batch_size)
        ahead = map_ahead(_call, reads, num_threads=1)  # so that of two rooms one is free
        buffers = (Batch(*(tensor.to(device) for tensor in rows)) for rows in ahead)
        yield from _trim_between(cut_buffers(buffers, self._list_sizes(first)))

    def _list_sizes(self, first: int) -> Iterator[int]:
        """Rows of each batch from one on, of this process."""
        cut = self.cut
        for batch in range(first, len(self)):
            whole = min(cut.batch_size, self.rows.stored.num_rows - batch * cut.batch_size)
            yield len(range(cut.clock.global_rank, whole, cut.num_processes))

    def _list_reads(self, first: int) -> Iterator[Callable[[], Batch]]:
        """For each buffer what reads its rows, in order: those of this process, from a row of the epoch on."""
        start, rooms = 0, cycle((Room(), Room()))
        for files, order in self._plan():
            stop = start + len(order)
            if stop > first:
                begin = max(start, first)
                own = order[begin - start :][self._is_own(begin, stop)]
                yield partial(self._read, files, own, next(rooms))
            start = stop

    def _plan(self) -> Iterator[tuple[list[int], Tensor]]:
        """The files of each buffer, and the order of their rows."""
        stored, generator = self.rows.stored, self.cut.make_generator()
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
        cut = self.cut
        if cut.num_processes == 1:
            return slice(None)
        return torch.arange(start, stop) % cut.batch_size % cut.num_processes == cut.clock.global_rank

    def _read(self, files: list[int], order: Tensor, room: Room) -> Batch:
        return self.rows.adjust(self.rows.stored.read(files, order=order, room=room))


def _call(read: Callable[[], Batch]) -> Batch:
    return read()


def _trim_between(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches; now and then what is free in memory goes back to the system.

    The C library of Linux keeps what the steps free, in holes between what lives. They come and go, and their largest
    sum so far is the peak memory of a long training: 0.1 to 0.2 GB, by chance.
    """
    trim, due = _find_trim(), time.monotonic() + TRIM_S
    for batch in batches:
        yield batch
        if time.monotonic() > due:
            trim()
            due = time.monotonic() + TRIM_S


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
