"""Rows of a split on disk: Parquet files of one row group each, so that any of them is read without the others.

The columns are `numeric_0` … and `id_0` … in the order of `inputs.json`, then `target` and `weight`. Pixels of images
lie beside them in one array of bytes, `pixels.npy`, which is mapped into memory: its parts are read as they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.features.label_shares import cut_evenly
from treadle.schema import Batch

# Of a file, but for the last one. Small, so that a buffer mixes many; below it the overhead of a file begins to count.
FILE_ROWS = 16_384
PART_FILES = 4  # whose rows are made, and become columns, at once
PIXELS = "pixels.npy"  # [rows, P] uint8
NUMERIC, ID = "numeric_", "id_"  # columns of the inputs, each with its number
TARGET = "target"  # an array where a row has several labels
_TARGETS: Mapping[object, torch.dtype] = {
    pl.Float64(): torch.float64,
    pl.Float32(): torch.float32,
    pl.Int64(): torch.int64,
}


def write_rows(parts: Iterable[Batch], folder: Path, *, file_rows: int = FILE_ROWS) -> None:
    """Write `folder/00000.parquet` and so on.

    Args:
        parts: consecutive rows, any number in each; the pixels of a part are written before the next is asked for.
        folder: made here.
        file_rows: of a file.
    """
    folder.mkdir(parents=True)
    step = PART_FILES * file_rows
    with PixelWriter(folder / PIXELS) as pixels:
        taken = map(pixels.take, parts)
        pieces = (Batch(*some) for part in taken for some in zip(*(t.split(step) for t in part), strict=True))
        even = cut_evenly(pieces, step)
        frames = (frame for piece in even for frame in _to_frame(piece).iter_slices(file_rows))
        for index, frame in enumerate(frames):
            frame.write_parquet(_name(folder, index), compression="lz4", statistics=False, row_group_size=file_rows)


class PixelWriter:
    """Appends the pixels of rows to an array on disk; where rows have none, there is no file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream: BinaryIO | None = None
        self._shape = (0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.seek(0)
            self._write_header(self._stream)
            self._stream.close()

    def take(self, rows: Batch) -> Batch:
        """The same rows without their pixels, which are written."""
        if rows.pixels.shape[1]:
            if self._stream is None:
                self._stream = self._file.open("wb")
                self._shape = (0, rows.pixels.shape[1])
                self._write_header(self._stream)
            self._stream.write(rows.pixels.contiguous().numpy().data)
            self._shape = (self._shape[0] + len(rows.pixels), self._shape[1])
        return rows._replace(pixels=rows.pixels[:, :0])

    def _write_header(self, stream: BinaryIO) -> None:
        """As long for any number of rows: NumPy leaves room for it to grow."""
        header = {"descr": "|u1", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(stream, header)


def load_rows(folder: Path, *, limit: int | None = None) -> Batch:
    """The rows of a split: all, or the first ones."""
    stored = StoredRows.find(folder)
    if limit is None or limit >= stored.num_rows:
        return stored.read(range(stored.num_files))
    return stored.read(range(math.ceil(limit / stored.file_rows)), order=torch.arange(limit))


@dataclass(frozen=True)
class StoredRows:
    """What `write_rows` wrote, of which any part can be read."""

    folder: Path
    num_files: int
    num_rows: int
    file_rows: int  # of a file, but for the last one
    pixels: Tensor  # [num_rows, P] uint8, mapped into memory

    @classmethod
    def find(cls, folder: Path) -> StoredRows:
        """Count the rows; none is read."""
        num_files = len(list(folder.glob("*.parquet")))
        first, last = (_count(_name(folder, index)) for index in (0, num_files - 1))
        num_rows = (num_files - 1) * first + last
        return cls(folder, num_files, num_rows, first, _map_pixels(folder / PIXELS, num_rows))

    def count(self, file: int) -> int:
        """Rows of a file."""
        return min(self.file_rows, self.num_rows - file * self.file_rows)

    def read(self, files: Sequence[int], *, order: Tensor | None = None, room: Room | None = None) -> Batch:
        """Rows of some files.

        Args:
            files: their numbers.
            order: positions among the rows of the files, in the order in which they are wanted; None: all as they lie.
            room: where the rows are put, in place of what was put there before; None: in new memory.
        """
        room = room or Room()
        num_rows = sum(map(self.count, files))
        places = torch.arange(num_rows) if order is None else _invert(order, num_rows)
        num_wanted = num_rows if order is None else len(order)
        start = 0
        for file in files:
            frame = pl.read_parquet(_name(self.folder, file))
            rows, part = room.give(frame, num_wanted), room.take_part(frame)
            _place(rows, part, places[start : start + len(frame)], some=num_wanted < num_rows)
            start += len(frame)
        return rows._replace(pixels=self._read_pixels(files, order))

    def _read_pixels(self, files: Sequence[int], order: Tensor | None) -> Tensor:
        """Those of all rows as they are mapped, of others a copy."""
        if order is None and len(files) == self.num_files:
            return self.pixels
        places = torch.cat([torch.arange(self.count(file)) + file * self.file_rows for file in files])
        return self.pixels.index_select(0, places if order is None else places[order])

    def read_targets(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Target and weight of each file's rows; the other columns are not read."""
        for file in range(self.num_files):
            frame = pl.read_parquet(_name(self.folder, file), columns=[TARGET, "weight"])
            yield _to_tensor(frame[TARGET]), _to_tensor(frame["weight"])


class Room:
    """Memory that is used again for the next rows: to free it and to ask anew would leave holes in it."""

    def __init__(self) -> None:
        self.rows: Batch | None = None
        self.part: Batch | None = None

    def give(self, frame: pl.DataFrame, num_rows: int) -> Batch:
        """Room for so many rows of that kind."""
        self.rows = _widen(self.rows, frame, num_rows)
        return Batch(*(tensor[:num_rows] for tensor in self.rows))

    def take_part(self, frame: pl.DataFrame) -> Batch:
        """The rows of one file as tensors."""
        self.part = _widen(self.part, frame, len(frame))
        part = Batch(*(tensor[: len(frame)] for tensor in self.part))
        for matrix, prefix in ((part.numeric, NUMERIC), (part.ids, ID)):
            values = matrix.numpy()
            for index, name in enumerate(_list_names(frame, prefix)):
                values[:, index] = frame[name].to_numpy()
        part.target.numpy()[:] = frame[TARGET].to_numpy()
        part.weight.numpy()[:] = frame["weight"].to_numpy()
        return part


def _widen(rows: Batch | None, frame: pl.DataFrame, num_rows: int) -> Batch:
    if rows is not None and len(rows.target) >= num_rows:
        return rows
    return Batch(
        torch.empty(num_rows, len(_list_names(frame, NUMERIC))),
        torch.empty(num_rows, len(_list_names(frame, ID)), dtype=torch.int64),
        _make_targets(frame.schema[TARGET], num_rows),
        torch.empty(num_rows),
        torch.empty(num_rows, 0, dtype=torch.uint8),
    )


def _make_targets(dtype: pl.DataType, num_rows: int) -> Tensor:
    """Room for so many: `[B]`, or `[B, L]` of L labels."""
    if isinstance(dtype, pl.Array):
        return torch.empty(num_rows, dtype.size, dtype=_TARGETS[dtype.inner])
    return torch.empty(num_rows, dtype=_TARGETS[dtype])


def _place(rows: Batch, part: Batch, places: Tensor, *, some: bool) -> None:
    """Put the rows of a part where they belong; those with no place (-1) are left out."""
    if some:
        kept = (places >= 0).nonzero()[:, 0]
        places, part = places[kept], Batch(*(tensor[kept] for tensor in part))
    for whole, values in zip(rows, part, strict=True):
        whole.index_copy_(0, places, values)


def _invert(order: Tensor, num_rows: int) -> Tensor:
    """For each row its place in the order, or -1."""
    places = torch.full((num_rows,), -1)
    places[order] = torch.arange(len(order))
    return places


def _map_pixels(file: Path, num_rows: int) -> Tensor:
    """The array of a file, read as it is used; a change of it does not reach the file. No file: no pixels."""
    if not file.exists():
        return torch.empty(num_rows, 0, dtype=torch.uint8)
    return torch.from_numpy(np.load(file, mmap_mode="c"))


def _name(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.parquet"


def _count(file: Path) -> int:
    return int(pl.scan_parquet(file).select(pl.len()).collect().item())


def _list_names(frame: pl.DataFrame, prefix: str) -> list[str]:
    return [name for name in frame.columns if name.startswith(prefix)]


def _to_frame(batch: Batch) -> pl.DataFrame:
    numeric = {f"{NUMERIC}{i}": column.numpy() for i, column in enumerate(_take_columns(batch.numeric))}
    ids = {f"{ID}{i}": column.int().numpy() for i, column in enumerate(_take_columns(batch.ids))}
    return pl.DataFrame({**numeric, **ids, TARGET: batch.target.numpy(), "weight": batch.weight.numpy()})


def _take_columns(values: Tensor) -> Tensor:
    """Each column in one piece of memory: as it lies, where it does."""
    return values.T if values.stride(0) == 1 else values.T.contiguous()


def _to_tensor(values: pl.Series) -> Tensor:
    return torch.from_numpy(values.to_numpy(writable=True))
