"""What the model of a bundle predicts for a split, before calibration."""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor

from treadle.bundle.bundle import CHUNK
from treadle.bundle.predictor import Predictor

_PART_ROWS = 16 * CHUNK  # in memory at a time, where rows hold no files


def compute_raw(bundle: Predictor, rows: pl.LazyFrame) -> Tensor:
    """`[B]`, or `[B, K]` for K classes; the contract is not checked."""
    num_rows = rows.select(pl.len()).collect().item()
    step = bundle.count_part_rows(_PART_ROWS)
    starts = range(0, max(1, num_rows), step)
    return torch.cat([bundle.compute(bundle.conform(rows.slice(start, step).collect())) for start in starts])
