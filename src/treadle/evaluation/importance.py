"""Permutation importance: how much the loss grows when columns are permuted, with an interval over blocks of rows.

Breiman, "Random forests", 2001; of raw columns, as the bundle takes them. Columns that hang together are permuted
together: alone, each of them would look like nothing, as the others tell the model the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from treadle.bundle import CHUNK, Predictor
from treadle.evaluation.intervals import Array, Estimate, Resampling, estimate_means
from treadle.evaluation.parity import read_predictions
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.scores import compute_losses


@dataclass(frozen=True)
class Importance:
    """Of one column, or of a group that was permuted together."""

    name: str
    columns: tuple[str, ...]
    growth: float  # of the mean loss: log loss, or squared error of a regression
    interval: Estimate | None  # None: too few blocks

    @property
    def is_relied_on(self) -> bool:
        """Whether the model loses beyond noise without it."""
        return self.interval is not None and self.interval.low > 0

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        bounds = None if self.interval is None else {"low": self.interval.low, "high": self.interval.high}
        return {"columns": list(self.columns), "growth": self.growth, "interval": bounds}


def measure_importance(
    bundle: Predictor,
    frame: pl.DataFrame,
    groups: Mapping[str, Sequence[str]],
    *,
    prediction: Array,
    target: Array,
    blocks: Blocks,
    resampling: Resampling,
    generator: np.random.Generator,
) -> list[Importance]:
    """Importance of each group, the largest first.

    Args:
        bundle: of the model.
        frame: rows `[B]` as the bundle takes them.
        groups: names of columns that are permuted together, each by a name.
        prediction: of these rows, `[B]` or `[B, K]`.
        target: of these rows, `[B]`.
        blocks: of these rows.
        resampling: of the intervals.
        generator: of the permutations.
    """
    before = compute_losses(prediction, target=target, task=bundle.task)
    permuted = (_permute(frame, columns, generator) for columns in groups.values())
    after = [
        compute_losses(found, target=target, task=bundle.task)
        for found in predict_each(bundle, permuted, num_rows=len(frame))
    ]
    growth = np.stack([losses - before for losses in after], axis=1) if after else np.empty((len(frame), 0))
    intervals = estimate_means(growth, blocks=blocks, resampling=resampling)
    found = [
        Importance(name, tuple(columns), float(mean), interval)
        for (name, columns), mean, interval in zip(groups.items(), growth.mean(axis=0), intervals, strict=True)
    ]
    return sorted(found, key=lambda one: -one.growth)


def _permute(frame: pl.DataFrame, columns: Sequence[str], generator: np.random.Generator) -> pl.DataFrame:
    order = generator.permutation(len(frame))
    return frame.with_columns(frame.select(columns)[order])


def predict_each(bundle: Predictor, frames: Iterable[pl.DataFrame], *, num_rows: int) -> Iterator[Array]:
    """The predictions of each of several frames of this number of rows; small ones go through the model together."""
    together, frames = max(1, CHUNK // max(1, num_rows)), iter(frames)
    while part := list(islice(frames, together)):
        predicted = read_predictions(bundle.predict(pl.concat(part), on_breach="allow"), bundle).numpy()
        yield from np.split(predicted, len(part))
