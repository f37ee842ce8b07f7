"""Thresholds of labels, from the probabilities of rows that the model has not seen."""

from __future__ import annotations

import numpy as np

from treadle.training.calibrators import Array, Floats

LEAST = 1e-6  # a threshold is above 0 and below 1
NO_LABEL = 0.5  # of a label that none of the rows has


def find_thresholds(chances: Floats, target: Array) -> list[float]:
    """The threshold of each label with the highest F1: half-way between two probabilities that occur.

    Where several are as good, the highest of them.

    Args:
        chances: `[B, L]` probabilities.
        target: `[B, L]` 0 or 1.

    >>> find_thresholds(np.array([[0.1, 0.2], [0.4, 0.3], [0.8, 0.4]]), np.array([[0, 0], [1, 0], [1, 0]]))
    [0.25, 0.5]
    """
    return [_find_threshold(chances[:, place], target[:, place]) for place in range(chances.shape[1])]


def _find_threshold(chances: Floats, target: Array) -> float:
    if not target.any():
        return NO_LABEL
    order = np.argsort(-chances, kind="stable")
    falling, hits = chances[order], np.cumsum(target[order])
    ends = np.flatnonzero(np.diff(falling, append=-1.0))  # the last row of each probability
    scores = 2 * hits[ends] / (ends + 1 + target.sum())
    best = int(scores.argmax())
    lower = falling[ends[best + 1]] if best + 1 < len(ends) else 0.0
    threshold = float((falling[ends[best]] + lower) / 2)
    return min(max(threshold, LEAST), 1 - LEAST)
