"""Attributions: by how much each column moves the prediction of a row, away from the mean prediction.

Shapley values by sampled orders (Strumbelj and Kononenko, 2014; captum's `ShapleyValueSampling`), of the columns of the
examples: a row gets its own values one column after another, in place of those of a background row, and each column is
credited with what the prediction moves. It asks the bundle alone, so it is the same for networks, trees and blends, and
a feature of several columns is shared fairly. The attributions of a row add up to its prediction less the mean of the
background's.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.bundle import Predictor
from treadle.errors import TreadleError
from treadle.evaluation.parity import read_predictions
from treadle.evaluation.resampling import Floats

_ORDERS = 16  # sampled for each row, each with a background row of its own
_NUM_SHOWN = 3  # columns of a row
_NUM_EXTREME = 3  # rows with the lowest, and with the highest predictions, in the report


@dataclass(frozen=True)
class Attributed:
    """The attributions of some rows."""

    columns: tuple[str, ...]
    keys: tuple[int, ...]  # of the rows, as in predictions.parquet
    predictions: tuple[float, ...]  # of a multiclass task the probability of the predicted class
    classes: tuple[str, ...]  # the predicted ones of a multiclass task, else none
    values: Floats  # `[B, C]` in the unit of the prediction

    @cached_property
    def sizes(self) -> dict[str, float]:
        """The mean size of each column's attributions, the largest first."""
        means = np.abs(self.values).mean(axis=0)
        return dict(sorted(zip(self.columns, means.tolist(), strict=True), key=lambda pair: -pair[1]))

    @property
    def extremes(self) -> list[dict[str, Any]]:
        """Rows with the lowest and the highest predictions, each with the columns that moved it most."""
        order = np.argsort(self.predictions, kind="stable").tolist()
        chosen = order if len(order) <= 2 * _NUM_EXTREME else [*order[:_NUM_EXTREME], *order[-_NUM_EXTREME:]]
        return [self._describe(place) for place in chosen]

    def _describe(self, place: int) -> dict[str, Any]:
        strongest = np.argsort(-np.abs(self.values[place]), kind="stable")[:_NUM_SHOWN]
        return {
            "key": self.keys[place],
            "prediction": self.predictions[place],
            "class": self.classes[place] if self.classes else None,
            "columns": {self.columns[column]: float(self.values[place, column]) for column in strongest},
        }

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.values.tolist()]
        return {
            "size": self.sizes,
            "rows": [
                {"key": key, "prediction": prediction, "columns": row}
                for key, prediction, row in zip(self.keys, self.predictions, rows, strict=True)
            ],
        }


def attribute(
    bundle: Predictor, rows: pl.DataFrame, background: pl.DataFrame, *, columns: Sequence[str], seed: int
) -> tuple[Floats, Tensor]:
    """The attributions `[B, C]` of rows, and their predictions, `[B]` or `[B, K]`.

    Of a multiclass task, those of the probability of the predicted class.

    Args:
        bundle: of the model.
        rows: `[B]` as the bundle takes them.
        background: rows of the same columns, whose mean prediction attributions start from.
        columns: to which predictions are attributed.
        seed: of the orders and the background rows.

    Raises:
        TreadleError: captum is not installed.
    """
    both = pl.concat([rows, background])
    others = [name for name in both.columns if name not in columns]

    def predict(places: Tensor) -> Tensor:
        """Of rows that are put together: `[N, C]` the place in `both` from which each column takes its value."""
        taken = places.numpy()
        put = {name: both[name].gather(taken[:, index]) for index, name in enumerate(columns)}
        unread = {name: both[name].gather(taken[:, 0]) for name in others}
        return read_predictions(bundle.predict(pl.DataFrame({**put, **unread}), on_breach="allow"), bundle)

    own = torch.arange(len(rows))[:, None].expand(-1, len(columns))
    predictions = predict(own)
    target = predictions.argmax(dim=1) if predictions.dim() == 2 else None  # noqa: PLR2004 - `[B, K]`
    sampler = _import_sampler()(predict)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # captum draws the orders
        for _ in range(_ORDERS):
            start = len(rows) + torch.randint(len(background), (len(rows), 1), generator=generator)
            total += sampler.attribute(
                own,
                baselines=start.expand(-1, len(columns)),
                target=target,
                n_samples=1,
                perturbations_per_eval=len(columns),
            ).double()
    return (total / _ORDERS).numpy(), predictions


def _import_sampler() -> Any:
    try:
        return importlib.import_module("captum.attr").ShapleyValueSampling  # optional
    except ImportError as error:
        raise TreadleError(
            "evaluation.explanation.attributions: needs captum, which is not installed; "
            "`pip install treadle[explain]`, or set it to 0"
        ) from error
