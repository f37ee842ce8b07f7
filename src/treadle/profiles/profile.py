"""Counts of values by block and cell. Counts add up: any split of the rows gives the same profile in the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.profiles.cells import Cells, Ints, list_cells, list_coarse

BLOCK = "__block__"  # column of the rows to be counted: the name of each row's block
HOUR = "__hour__"  # and the hour of its time, 0 to 23, in UTC; rows without a time have none
NUM_HOURS = 24
_LEAST_PAIRED = 2  # columns that make a pair
PART_ROWS = 65_536  # rows that are counted at a time; exact in float32


@dataclass(frozen=True)
class Profile:
    """How many rows of each block have a value in each cell."""

    blocks: tuple[str, ...]  # names, ascending
    rows: Ints  # `[G]` of each block
    cells: Ints  # `[G, F]` by cell, those of the first column first
    pairs: Ints | None  # `[G, C, C]` by two coarse cells; None: they are not counted
    hours: Ints | None  # `[G, 24, n, 2]` by hour and column of numbers: rows with a value, sum of their positions

    @classmethod
    def merge(cls, parts: Iterable[Profile]) -> Profile:
        """The profile of all the rows of at least one part together; its parts have the same cells."""
        parts = list(parts)
        names = sorted({name for part in parts for name in part.blocks})
        places = {name: place for place, name in enumerate(names)}
        rows = np.zeros(len(names), dtype=np.int64)
        cells = np.zeros((len(names), parts[0].cells.shape[1]), dtype=np.int64)
        first = parts[0].pairs
        pairs = None if first is None else np.zeros((len(names), *first.shape[1:]), dtype=np.int64)
        daily = parts[0].hours
        hours = None if daily is None else np.zeros((len(names), *daily.shape[1:]), dtype=np.int64)
        for part in parts:
            where = [places[name] for name in part.blocks]
            rows[where] += part.rows
            cells[where] += part.cells
            if pairs is not None and part.pairs is not None:
                pairs[where] += part.pairs
            if hours is not None and part.hours is not None:
                hours[where] += part.hours
        return cls(tuple(names), rows, cells, pairs, hours)

    def take(self, blocks: Sequence[bool] | NDArray[np.bool_]) -> Profile:
        """Some of the blocks, by a mask `[G]`."""
        mask = np.asarray(blocks, dtype=bool)
        names = tuple(name for name, kept in zip(self.blocks, mask, strict=True) if kept)
        pairs, hours = (None if counts is None else counts[mask] for counts in (self.pairs, self.hours))
        return Profile(names, self.rows[mask], self.cells[mask], pairs, hours)

    def keep(self, columns: Sequence[Cells], names: Collection[str], *, num_paired: int) -> Profile:
        """The counts of some of its columns alone.

        Args:
            columns: of the profile.
            names: of those that are kept.
            num_paired: of the columns, the first ones, whose pairs are counted.
        """
        kept = [column.name in names for column in columns]
        cells = self.cells[:, np.repeat(kept, [column.count for column in columns])]
        pairs = None
        if self.pairs is not None and count_paired(columns, names, num_paired=num_paired):
            coarse = np.repeat(kept[:num_paired], [column.coarse_count for column in columns[:num_paired]])
            pairs = self.pairs[:, coarse][:, :, coarse]
        hours = None if self.hours is None else self.hours[:, :, kept]
        return replace(self, cells=cells, pairs=pairs, hours=hours)


def count_paired(columns: Sequence[Cells], names: Collection[str], *, num_paired: int) -> int:
    """How many of the columns that are kept have pairs: none where one would be alone.

    Args:
        columns: of a profile.
        names: of those that are kept.
        num_paired: of the columns, the first ones, whose pairs are counted.
    """
    kept = sum(column.name in names for column in columns[:num_paired])
    return kept if kept >= _LEAST_PAIRED else 0


def count_rows(rows: pl.LazyFrame, columns: Sequence[Cells], *, num_paired: int) -> Profile:
    """Count the rows, a part of them in memory at a time.

    Args:
        rows: with the column `BLOCK`, and `HOUR` where they have a time; one without a block is left out.
        columns: whose cells are counted.
        num_paired: of these columns, the first ones, of which pairs are counted too.
    """
    wanted = rows.select(list_wanted(rows, columns)).drop_nulls(BLOCK)
    empty = pl.DataFrame(schema=wanted.collect_schema())
    parts = [count_part(empty, columns, num_paired=num_paired)]
    for batch in wanted.collect_batches(chunk_size=PART_ROWS, lazy=True):
        parts.append(count_part(batch, columns, num_paired=num_paired))
        parts = [Profile.merge(parts)]
    return parts[0]


def list_wanted(rows: pl.LazyFrame, columns: Sequence[Cells]) -> list[str]:
    """The names of what is counted of rows: their blocks, their hours where they have a time, and the columns."""
    hours = [HOUR] if HOUR in rows.collect_schema() else []
    return [BLOCK, *hours, *(column.name for column in columns)]


def count_part(frame: pl.DataFrame, columns: Sequence[Cells], *, num_paired: int) -> Profile:
    """Count the rows of a frame, which fits into memory."""
    names, codes = np.unique(frame[BLOCK].cast(pl.String).to_numpy(), return_inverse=True)
    starts, total = list_cells(columns)[:-1], int(list_cells(columns)[-1])
    counts = np.zeros((len(names), total), dtype=np.int64)
    placed = [column.place(frame[column.name]) for column in columns]
    for start, column, cells in zip(starts, columns, placed, strict=True):
        size = column.count
        found = np.bincount(codes * size + cells, minlength=len(names) * size)
        counts[:, start : start + size] = found.reshape(len(names), size)
    pairs = _count_pairs(codes, columns[:num_paired], placed, num_blocks=len(names)) if num_paired else None
    hours = _count_hours(codes, frame[HOUR], columns, placed, num_blocks=len(names)) if HOUR in frame.columns else None
    rows = np.bincount(codes, minlength=len(names)).astype(np.int64)
    return Profile(tuple(map(str, names)), rows, counts, pairs, hours)


def _count_hours(
    codes: Ints, hours: pl.Series, columns: Sequence[Cells], placed: Sequence[Ints], *, num_blocks: int
) -> Ints:
    """`[G, 24, n, 2]`: from them follows the mean of a column at each hour; 0 where it has no level."""
    size = num_blocks * NUM_HOURS
    keys = codes * NUM_HOURS + hours.to_numpy().astype(np.int64)
    counted = np.zeros((size, len(columns), 2), dtype=np.int64)
    for index, (column, cells) in enumerate(zip(columns, placed, strict=True)):
        if column.has_level:
            there = cells != column.present
            counted[:, index, 0] = np.bincount(keys[there], minlength=size)
            counted[:, index, 1] = np.bincount(keys[there], weights=column.positions[cells[there]], minlength=size)
    return counted.reshape(num_blocks, NUM_HOURS, len(columns), 2)


def _count_pairs(codes: Ints, columns: Sequence[Cells], placed: Sequence[Ints], *, num_blocks: int) -> Ints:
    """`[G, C, C]`: the products of the indicators of the coarse cells, summed over the rows of each block."""
    starts, total = list_coarse(columns)[:-1], int(list_coarse(columns)[-1])
    coarse = [np.asarray(column.coarse)[cells] for column, cells in zip(columns, placed, strict=False)]
    pairs = np.zeros((num_blocks, total, total), dtype=np.int64)
    for block in range(num_blocks):
        rows = np.flatnonzero(codes == block)
        for first in range(0, len(rows), PART_ROWS):
            part = rows[first : first + PART_ROWS]
            marks = mark_cells([cells[part] for cells in coarse], starts, total=total)
            pairs[block] += (marks.T @ marks).astype(np.int64)
    return pairs


def mark_cells(placed: Sequence[Ints], starts: Ints, *, total: int) -> NDArray[np.float32]:
    """`[B, total]` indicators: 1 where a row has a value in a cell.

    Args:
        placed: `[B]` cell of each row, for each column.
        starts: where the cells of each column begin.
        total: number of cells.
    """
    marks = np.zeros((len(placed[0]), total), dtype=np.float32)
    for start, cells in zip(starts, placed, strict=True):
        marks[np.arange(len(cells)), start + cells] = 1
    return marks
