"""Chances for scores: the isotonic regression of outcomes on out-of-sample scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A rising function of the score, linear between its points, constant beyond them."""

    scores: Floats  # ascending
    chances: Floats

    def read(self, scores: Floats) -> Floats:
        """`[B]` the chance of each score."""
        return np.interp(scores, self.scores, self.chances)


def fit_calibration(scores: Floats, outcomes: Floats) -> Calibration:
    """The rising step function nearest to the outcomes, by pooling adjacent violators (Ayer and others, 1955).

    Args:
        scores: `[B]`, of rows that the model has not seen; B is at least 1.
        outcomes: `[B]` 0 or 1.
    """
    points, places = np.unique(scores.astype(np.float64), return_inverse=True)
    weights = np.bincount(places).astype(np.float64)
    means = np.bincount(places, weights=outcomes) / weights
    pooled: list[tuple[float, float, int]] = []  # mean, weight, number of points
    for mean, weight in zip(means.tolist(), weights.tolist(), strict=True):
        pooled.append((mean, weight, 1))
        while len(pooled) > 1 and pooled[-2][0] >= pooled[-1][0]:
            (low, first, size), (high, second, more) = pooled[-2:]
            pooled[-2:] = [((low * first + high * second) / (first + second), first + second, size + more)]
    ends = np.cumsum([size for *_, size in pooled]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    kept = np.unique(np.concatenate([starts, ends]))  # the first and the last point of each step
    levels = np.repeat([mean for mean, *_ in pooled], [size for *_, size in pooled])
    return Calibration(points[kept], levels[kept])
