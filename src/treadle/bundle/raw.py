"""What a bundle predicts for a split that is read part by part, and what its model does before calibration."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import torch
from torch import Tensor

from treadle.bundle.bundle import CHUNK
from treadle.bundle.predictor import Predictor

_PART_ROWS = 16 * CHUNK  # in memory at a time, where rows hold no files


def predict_split(bundle: Predictor, rows: pl.LazyFrame) -> pl.DataFrame:
    """The predictions of all rows, as `bundle.predict` gives them; the contract is not checked.

    Raises:
        TreadleError: a column is missing, or cannot be read as its type.
    """
    return pl.concat([bundle.predict(part, on_breach="allow") for part in _read_parts(bundle, rows)])


def compute_raw(bundle: Predictor, rows: pl.LazyFrame) -> Tensor:
    """`[B]`, or `[B, K]` for K classes; the contract is not checked."""
    return torch.cat([bundle.compute(bundle.conform(part)) for part in _read_parts(bundle, rows)])


def _read_parts(bundle: Predictor, rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Few rows at a time; of no rows one frame, which has none."""
    num_rows, step = rows.select(pl.len()).collect().item(), bundle.count_part_rows(_PART_ROWS)
    for start in range(0, max(1, num_rows), step):
        yield rows.slice(start, step).collect()
