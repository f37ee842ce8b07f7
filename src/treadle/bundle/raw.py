"""What the model of a bundle predicts for a split, before calibration."""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor

from treadle.bundle.bundle import CHUNK
from treadle.bundle.predictor import Predictor

_PART_ROWS = 16 * CHUNK  # in memory at a time: whole chunks, so that the numbers are the same


def compute_raw(bundle: Predictor, rows: pl.LazyFrame) -> Tensor:
    """`[B]`, or `[B, K]` for K classes; the contract is not checked."""
    num_rows = rows.select(pl.len()).collect().item()
    starts = range(0, max(1, num_rows), _PART_ROWS)
    return torch.cat([bundle.compute(bundle.conform(rows.slice(s, _PART_ROWS).collect())) for s in starts])
