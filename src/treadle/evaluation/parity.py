"""Parity: a row alone, as a server gets it, gets the same prediction as in a batch."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import torch
from torch import Tensor

from treadle.bundle import Predictor
from treadle.errors import TreadleError

PARITY = 1e-6  # largest difference between a row predicted alone and in a batch, in the unit of `check_parity`
# Of what a network adds up, the share that float32 may lose. Measured over four models, shipped: 0.05 to 0.2 of it.
ROUNDING = torch.finfo(torch.float32).eps

Row = dict[str, Any]


def check_parity(bundle: Predictor, rows: pl.LazyFrame, predicted: pl.DataFrame, *, num_rows: int) -> dict[str, Any]:
    """Predict rows one by one, as a server would, and compare with the batch.

    Raises:
        TreadleError: they differ by more than `PARITY`, as a share of the value, of the target's deviation, or of 1,
            whichever is largest; and by more than rounding can make of the terms that the network adds up, which are
            large for a row far outside of the training rows; or a row alone gets a prediction that is not finite.
    """
    step = max(1, len(predicted) // num_rows) if num_rows else 1
    positions = range(0, len(predicted), step)[:num_rows]
    chosen = rows.gather_every(step).head(num_rows).collect(engine="streaming")
    batch = read_outputs(predicted, bundle)
    pairs = zip(positions, chosen.iter_rows(named=True), strict=True)
    differences = [_compare(bundle, row, batch[position]) for position, row in pairs]
    largest = max(differences, default=0.0)
    if largest > PARITY:
        raise TreadleError(f"parity: a row alone and in a batch differ by {largest:.3g}, more than {PARITY:g}")
    return {"rows": len(positions), "largest_difference": largest, "allowed": PARITY}


def read_predictions(predicted: pl.DataFrame, bundle: Predictor) -> Tensor:
    """`[B]` probability or value, or `[B, K]` probabilities, from the frame that `Bundle.predict` gives.

    Of several quantiles the median.
    """
    return bundle.take_point(read_outputs(predicted, bundle))


def read_outputs(predicted: pl.DataFrame, bundle: Predictor) -> Tensor:
    """The same with all quantiles: `[B, Q]`."""
    names = bundle.output_names
    if len(names) == 1:
        return torch.from_numpy(predicted[names[0]].to_numpy(writable=True))
    return torch.from_numpy(predicted.select(names).to_numpy(writable=True))


def find_units(bundle: Predictor, predictions: Tensor) -> Tensor:
    """What a difference of each prediction is a share of: the value, the target's deviation, or 1, the largest."""
    return predictions.abs().clamp(min=max(1.0, bundle.card.target.scale))


def widen_unit(bundle: Predictor, row: Row, *, place: int, unit: float) -> float:
    """The unit of a prediction whose difference may be rounding: what that can make of the terms that are added up."""
    return max(unit, ROUNDING / PARITY * bundle.measure_terms(row, place))


def _compare(bundle: Predictor, row: Row, in_batch: Tensor) -> float:
    alone = read_outputs(bundle.predict(row, on_breach="allow"), bundle)[0]
    if not alone.isfinite().all():
        return math.inf
    gaps, units = (alone - in_batch).abs().flatten(), find_units(bundle, in_batch).flatten()
    place = int((gaps / units).argmax())
    gap, unit = float(gaps[place]), float(units[place])
    if gap <= PARITY * unit:  # the terms are expensive to measure
        return gap / unit
    return gap / widen_unit(bundle, row, place=place, unit=unit)
