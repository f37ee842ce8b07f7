"""Performance without labels, estimated from what the model and its inputs say.

An estimate takes for granted that rows like these still end as they did in the reference. It sees what harder or easier
rows do to the metrics, and it cannot see that the relation of inputs and outcomes has changed (concept drift).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from treadle.metrics.registry import EPSILON
from treadle.profiles.calibration import Calibration
from treadle.profiles.profile import Profile
from treadle.profiles.reference import Performance

Floats = NDArray[np.float64]

CAVEAT = (
    "estimated without labels: it sees harder or easier rows, and cannot see that the relation of inputs and outcomes "
    "has changed (concept drift)"
)


def estimate_binary(scores: Floats, *, calibration: Calibration, threshold: float) -> dict[str, float]:
    """Expected metrics of a block by confidence-based estimation (CBPE): each row counts for both classes, by chance.

    Args:
        scores: `[B]` predicted probabilities.
        calibration: from scores to chances.
        threshold: of the decision, inclusive.
    """
    chances = calibration.read(scores)
    clipped = scores.clip(EPSILON, 1 - EPSILON)
    decided = scores >= threshold
    return {
        "auroc": _expect_auc(scores, chances),
        "log_loss": float(-(chances * np.log(clipped) + (1 - chances) * np.log(1 - clipped)).mean()),
        "brier": float((chances * (1 - scores) ** 2 + (1 - chances) * scores**2).mean()),
        "accuracy": float(np.where(decided, chances, 1 - chances).mean()),
    }


def _expect_auc(scores: Floats, chances: Floats) -> float:
    """The share of pairs in the right order, a row counting as positive by its chance; ties count half."""
    places = np.unique(scores, return_inverse=True)[1]
    positive, negative = np.bincount(places, weights=chances), np.bincount(places, weights=1 - chances)
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else math.nan


def estimate_multiclass(scores: Floats, *, calibration: Calibration) -> dict[str, float]:
    """The expected accuracy of a block.

    Args:
        scores: `[B, K]` predicted probabilities.
        calibration: from the probability of the predicted class to the chance that it is right.
    """
    return {"accuracy": float(calibration.read(scores.max(axis=1)).mean())}


def estimate_regression(profile: Profile, performance: Performance) -> list[dict[str, float]]:
    """The expected errors of each block by direct loss estimation (DLE).

    Args:
        profile: counts in the cells of the columns and of the prediction.
        performance: of the reference.
    """
    squared = performance.losses["squared"].estimate(profile.cells, profile.rows)
    absolute = performance.losses["absolute"].estimate(profile.cells, profile.rows)
    return [
        {"rmse": math.sqrt(max(0.0, square)), "mae": max(0.0, error)}
        for square, error in zip(squared.tolist(), absolute.tolist(), strict=True)
    ]
