"""A profile as a table: a row for each number that is not 0. Tables of parts, one below the other, are of the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.profiles.cells import Cells, Ints, list_cells, list_coarse
from treadle.profiles.profile import NUM_HOURS, Profile

Places = NDArray[np.intp]

SCHEMA = {
    "block": pl.String(),
    "hour": pl.Int32(),
    "cell": pl.Int32(),
    "other": pl.Int32(),
    "rows": pl.Int64(),
    "total": pl.Int64(),
}
PLACE = list(SCHEMA)[:4]  # of a number


def list_counts(profile: Profile) -> pl.DataFrame:
    """The rows of each block (no cell), by cell (no other one), and by two coarse cells, the first the lower.

    By hour and column (in the place of the cell), also the sum of the cells.
    """
    counted = [_tabulate(profile, np.arange(len(profile.blocks)), rows=profile.rows)]
    blocks, cells = np.nonzero(profile.cells)
    counted.append(_tabulate(profile, blocks, cell=cells, rows=profile.cells[blocks, cells]))
    if profile.pairs is not None:
        blocks, first, second = np.nonzero(np.triu(profile.pairs))
        counted.append(_tabulate(profile, blocks, cell=first, other=second, rows=profile.pairs[blocks, first, second]))
    if profile.hours is not None:
        blocks, hours, columns = np.nonzero(profile.hours[..., 0])
        rows, totals = profile.hours[blocks, hours, columns].T
        counted.append(_tabulate(profile, blocks, hour=hours, cell=columns, rows=rows, total=totals))
    return pl.concat(counted)


def _tabulate(profile: Profile, blocks: Places, **values: Ints | Places) -> pl.DataFrame:
    none = [None] * len(blocks)
    named = pl.Series(profile.blocks, dtype=pl.String).gather(blocks)
    return pl.DataFrame({name: named if name == "block" else values.get(name, none) for name in SCHEMA}, schema=SCHEMA)


def read_counts(table: pl.DataFrame, columns: Sequence[Cells], *, num_paired: int) -> Profile:
    """The profile of a table, whose blocks have a time.

    Args:
        table: of `list_counts`, or several of them, one below the other.
        columns: whose cells were counted.
        num_paired: of these columns, the first ones, of which pairs were counted too.
    """
    names = table["block"].unique().sort().to_list()
    total, coarse = int(list_cells(columns)[-1]), int(list_coarse(columns[:num_paired])[-1]) if num_paired else 0
    places = pl.col("block").rank("dense").cast(pl.Int64) - 1
    summed = table.group_by(PLACE).agg(pl.col("rows", "total").sum()).with_columns(block=places)
    daily = summed.filter(pl.col("hour").is_not_null())
    whole = summed.filter(pl.col("cell").is_null())
    single = summed.filter(pl.col("hour").is_null() & pl.col("cell").is_not_null() & pl.col("other").is_null())
    double = summed.filter(pl.col("other").is_not_null())
    rows = np.zeros(len(names), dtype=np.int64)
    rows[whole["block"].to_numpy()] = whole["rows"].to_numpy()
    cells = np.zeros((len(names), total), dtype=np.int64)
    cells[single["block"].to_numpy(), single["cell"].to_numpy()] = single["rows"].to_numpy()
    hours = np.zeros((len(names), NUM_HOURS, len(columns), 2), dtype=np.int64)
    where = tuple(daily[name].to_numpy() for name in ("block", "hour", "cell"))
    hours[where] = daily.select("rows", "total").to_numpy()
    if not num_paired:
        return Profile(tuple(names), rows, cells, None, hours)
    pairs = np.zeros((len(names), coarse, coarse), dtype=np.int64)
    blocks, first, second = (double[name].to_numpy() for name in ("block", "cell", "other"))
    pairs[blocks, first, second] = double["rows"].to_numpy()
    pairs[blocks, second, first] = double["rows"].to_numpy()
    return Profile(tuple(names), rows, cells, pairs, hours)
