"""The blocks of rows that hang together, as numbers."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.experiment.blocks import PERIODS, ROW
from treadle.schema import PREDICT_AT

_PERIODS = dict(zip(PERIODS, ("1d", "1w", "1mo"), strict=True))  # as Polars writes them


def rank_blocks(rows: pl.LazyFrame, unit: str) -> NDArray[np.int64]:
    """`[B]` block of each row, from 0, in the order of time or of the values; of single rows each its own.

    Args:
        rows: of a split.
        unit: row, day, week, month, or a column of the examples.
    """
    if unit == ROW:
        return np.arange(rows.select(pl.len()).collect().item())
    column = pl.col(PREDICT_AT).dt.truncate(_PERIODS[unit]) if unit in PERIODS else pl.col(unit)
    ranks = rows.select(column.rank("dense").fill_null(0)).collect().to_series().to_numpy()
    return np.unique(ranks, return_inverse=True)[1].astype(np.int64)
