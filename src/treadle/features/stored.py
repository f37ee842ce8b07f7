"""Rows of a split on disk: Parquet files of one row group each, so that any of them is read without the others.

The columns are `numeric_0` … and `id_0` … in the order of `inputs.json`, then `target` and `weight`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from treadle.schema import Batch

# Of a file, but for the last one. Small, so that a buffer mixes many; below it the overhead of a file begins to count.
FILE_ROWS = 16_384


def write_rows(parts: Iterable[Batch], folder: Path) -> None:
    """Write `folder/00000.parquet` and so on.

    Args:
        parts: consecutive rows; each part but the last is a whole number of files.
        folder: made here.
    """
    folder.mkdir(parents=True)
    files = (Batch(*tensors) for part in parts for tensors in zip(*(t.split(FILE_ROWS) for t in part), strict=True))
    for index, batch in enumerate(files):
        frame = _to_frame(batch)
        frame.write_parquet(_name(folder, index), compression="lz4", statistics=False, row_group_size=FILE_ROWS)


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

    @classmethod
    def find(cls, folder: Path) -> StoredRows:
        """Count the rows; none is read."""
        num_files = len(list(folder.glob("*.parquet")))
        first, last = (_count(_name(folder, index)) for index in (0, num_files - 1))
        return cls(folder, num_files, (num_files - 1) * first + last, first)

    def count(self, file: int) -> int:
        """Rows of a file."""
        return min(self.file_rows, self.num_rows - file * self.file_rows)

    def read(self, files: Sequence[int], *, order: Tensor | None = None) -> Batch:
        """Rows of some files.

        Args:
            files: their numbers.
            order: positions among the rows of the files, in the order in which they are wanted; None: all as they lie.
        """
        rows: Batch | None = None
        start = 0
        num_rows = sum(map(self.count, files))
        places = _invert(order, num_rows) if order is not None else torch.arange(num_rows)
        for file in files:
            part = _to_batch(pl.read_parquet(_name(self.folder, file)))
            if rows is None:
                num_wanted = num_rows if order is None else len(order)
                rows = Batch(*(tensor.new_empty(num_wanted, *tensor.shape[1:]) for tensor in part))
            place = places[start : start + len(part.target)]
            _fill(rows, part, place=place, some=len(rows.target) < num_rows)
            start += len(part.target)
        assert rows is not None
        return rows

    def read_targets(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Target and weight of each file's rows; the other columns are not read."""
        for file in range(self.num_files):
            frame = pl.read_parquet(_name(self.folder, file), columns=["target", "weight"])
            yield _to_tensor(frame["target"]), _to_tensor(frame["weight"])


def _fill(rows: Batch, part: Batch, *, place: Tensor, some: bool) -> None:
    """Put the rows of a part where they belong; those with no place (-1) are left out."""
    if some:
        kept = (place >= 0).nonzero()[:, 0]
        place, part = place[kept], Batch(*(tensor[kept] for tensor in part))
    for whole, values in zip(rows, part, strict=True):
        whole.index_copy_(0, place, values)


def _invert(order: Tensor, num_rows: int) -> Tensor:
    """For each row its place in the order, or -1."""
    places = torch.full((num_rows,), -1)
    places[order] = torch.arange(len(order))
    return places


def _name(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.parquet"


def _count(file: Path) -> int:
    return int(pl.scan_parquet(file).select(pl.len()).collect().item())


def _to_frame(batch: Batch) -> pl.DataFrame:
    numeric = {f"numeric_{i}": column.numpy() for i, column in enumerate(batch.numeric.T.contiguous())}
    ids = {f"id_{i}": column.numpy() for i, column in enumerate(batch.ids.T.contiguous().int())}
    return pl.DataFrame({**numeric, **ids, "target": batch.target.numpy(), "weight": batch.weight.numpy()})


def _to_batch(frame: pl.DataFrame) -> Batch:
    numeric = _to_matrix(frame, "numeric_").float()
    ids = _to_matrix(frame, "id_").long()
    return Batch(numeric, ids, _to_tensor(frame["target"]), _to_tensor(frame["weight"]))


def _to_matrix(frame: pl.DataFrame, prefix: str) -> Tensor:
    names = [name for name in frame.columns if name.startswith(prefix)]
    if not names:
        return torch.empty(len(frame), 0)
    return torch.from_numpy(frame.select(names).to_numpy(order="c", writable=True))


def _to_tensor(values: pl.Series) -> Tensor:
    return torch.from_numpy(values.to_numpy(writable=True))
