"""The blocks of rows that hang together, as numbers."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.experiment.blocks import PERIODS, Unit
from treadle.schema import PREDICT_AT

_PERIODS = dict(zip(PERIODS, ("1d", "1w", "1mo"), strict=True))  # as Polars writes them


def rank_blocks(rows: pl.LazyFrame, unit: Unit) -> NDArray[np.int64]:
    """`[B]` block of each row, from 0, in the order of time or of the values; of single rows each its own.

    Args:
        rows: of a split.
        unit: of the blocks; a column is one of the examples.
    """
    if unit.kind == "row":
        return np.arange(rows.select(pl.len()).collect().item())
    is_period = unit.kind == "period"
    column = pl.col(PREDICT_AT).dt.truncate(_PERIODS[unit.name]) if is_period else pl.col(unit.name)
    ranks = rows.select(column.rank("dense").fill_null(0)).collect().to_series().to_numpy()
    return np.unique(ranks, return_inverse=True)[1].astype(np.int64)
