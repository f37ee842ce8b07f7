"""A profile as a table: a row for each number that is not 0. Tables of parts, one below the other, are of the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.profiles.cells import Cells, Ints, list_cells, list_coarse
from treadle.profiles.profile import Profile

Places = NDArray[np.intp]

SCHEMA = {"block": pl.String(), "cell": pl.Int32(), "other": pl.Int32(), "rows": pl.Int64()}


def list_counts(profile: Profile) -> pl.DataFrame:
    """The rows of each block (no cell), by cell (no other one), and by two coarse cells, the first the lower."""
    counted = [_tabulate(profile, np.arange(len(profile.blocks)), None, None, profile.rows)]
    blocks, cells = np.nonzero(profile.cells)
    counted.append(_tabulate(profile, blocks, cells, None, profile.cells[blocks, cells]))
    if profile.pairs is not None:
        blocks, first, second = np.nonzero(np.triu(profile.pairs))
        counted.append(_tabulate(profile, blocks, first, second, profile.pairs[blocks, first, second]))
    return pl.concat(counted)


def _tabulate(
    profile: Profile, blocks: Places, cells: Places | None, others: Places | None, rows: Ints
) -> pl.DataFrame:
    none = [None] * len(rows)
    return pl.DataFrame(
        {
            "block": pl.Series(profile.blocks, dtype=pl.String).gather(blocks),
            "cell": none if cells is None else cells,
            "other": none if others is None else others,
            "rows": rows,
        },
        schema_overrides=SCHEMA,
    )


def read_counts(table: pl.DataFrame, columns: Sequence[Cells], *, num_paired: int) -> Profile:
    """The profile of a table.

    Args:
        table: of `list_counts`, or several of them, one below the other.
        columns: whose cells were counted.
        num_paired: of these columns, the first ones, of which pairs were counted too.
    """
    names = table["block"].unique().sort().to_list()
    total, coarse = int(list_cells(columns)[-1]), int(list_coarse(columns[:num_paired])[-1]) if num_paired else 0
    places = pl.col("block").rank("dense").cast(pl.Int64) - 1
    summed = table.group_by("block", "cell", "other").agg(pl.col("rows").sum()).with_columns(block=places)
    whole = summed.filter(pl.col("cell").is_null())
    single = summed.filter(pl.col("cell").is_not_null() & pl.col("other").is_null())
    double = summed.filter(pl.col("other").is_not_null())
    rows = np.zeros(len(names), dtype=np.int64)
    rows[whole["block"].to_numpy()] = whole["rows"].to_numpy()
    cells = np.zeros((len(names), total), dtype=np.int64)
    cells[single["block"].to_numpy(), single["cell"].to_numpy()] = single["rows"].to_numpy()
    if not num_paired:
        return Profile(tuple(names), rows, cells, None)
    pairs = np.zeros((len(names), coarse, coarse), dtype=np.int64)
    blocks, first, second = (double[name].to_numpy() for name in ("block", "cell", "other"))
    pairs[blocks, first, second] = double["rows"].to_numpy()
    pairs[blocks, second, first] = double["rows"].to_numpy()
    return Profile(tuple(names), rows, cells, pairs)
