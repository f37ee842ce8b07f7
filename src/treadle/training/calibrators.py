"""Fit calibrations to probabilities and what came: the maths alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from treadle.bundle.calibration import Curve, Isotonic, Temperature, calibrate
from treadle.metrics.registry import EPSILON

Array = NDArray[Any]
Floats = NDArray[np.float64]
Calibrator = Temperature | Isotonic
FOLDS = 5  # of a cross-fit
_BINS = 200  # of an isotonic curve, before it is made to rise
_BIN_ROWS = 20  # of a bin, at least
_NEWTON_STEPS = 50
_SLOPES = (1e-3, 1e3)  # of a temperature


def fit_temperature(chances: Floats, target: Array) -> Temperature:
    """What minimises the log loss.

    Of two classes slope and intercept, by Newton's method; the targets are drawn in a little, so that both are finite
    where a threshold separates the classes (Platt, "Probabilistic outputs for support vector machines", 1999). Of
    several the slope alone (Guo and others, "On calibration of modern neural networks", 2017).

    Args:
        chances: `[B]` of the positive class, or `[B, K]`.
        target: `[B]` 0 or 1, or the class.
    """
    if chances.ndim == 2:  # noqa: PLR2004
        return Temperature(slope=_find_slope(chances, target), intercept=0.0)
    inner = chances.clip(EPSILON, 1 - EPSILON)
    logits = np.log(inner) - np.log1p(-inner)
    inputs = np.column_stack([logits, np.ones(len(logits))])
    positives = target.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(target) - positives + 2)
    wanted = np.where(target > 0, high, low)
    weights = np.array([1.0, 0.0])
    for _ in range(_NEWTON_STEPS):
        given = _squash(inputs @ weights)
        gradient = inputs.T @ (given - wanted)
        curvature = (inputs * (given * (1 - given))[:, None]).T @ inputs + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step / max(1.0, float(np.abs(step).max()))  # at most 1: far from the optimum it overshoots
        if np.abs(step).max() < 1e-10:  # noqa: PLR2004 - nothing changes any more
            break
    slope = min(max(float(weights[0]), _SLOPES[0]), _SLOPES[1])  # what ranks the wrong way round stays as it ranks
    return Temperature(slope=slope, intercept=float(weights[1]))


def _squash(logits: Floats) -> Floats:
    squashed: Floats = 1 / (1 + np.exp(-logits.clip(-500, 500)))
    return squashed


def _find_slope(chances: Floats, target: Array) -> float:
    """Where the derivative of the log loss, which rises with the slope, is 0: by bisection of its logarithm."""
    logits = np.log(chances.clip(EPSILON))
    own = logits[np.arange(len(target)), target].mean()
    low, high = np.log(_SLOPES)
    for _ in range(40):
        middle = (low + high) / 2
        scaled = np.exp(middle) * logits
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        rises = (shares * logits).sum(axis=1).mean() > own
        low, high = (low, middle) if rises else (middle, high)
    return float(np.exp((low + high) / 2))


def fit_isotonic(chances: Floats, target: Array) -> Isotonic:
    """The rising curve of least squares, for each class one.

    Args:
        chances: `[B]` of the positive class, or `[B, K]`.
        target: `[B]` 0 or 1, or the class.
    """
    if chances.ndim == 1:
        return Isotonic(curves=[_fit_curve(chances, target > 0)])
    return Isotonic(curves=[_fit_curve(chances[:, k], target == k) for k in range(chances.shape[1])])


def _fit_curve(chances: Floats, hits: NDArray[np.bool_]) -> Curve:
    """Through the means of bins of equally many rows, pooled where they fall.

    A pool of one class alone is no proof of certainty: its share is that of Laplace's rule, unless its neighbour is
    nearer to certainty.
    """
    num = max(1, min(_BINS, len(chances) // _BIN_ROWS))
    edges = np.unique(np.quantile(chances, np.linspace(0, 1, num + 1)[1:-1]))
    bins = np.unique(np.searchsorted(edges, chances, side="right"), return_inverse=True)[1]
    rows, x, y = (
        np.bincount(bins, weights=values).tolist() for values in (np.ones(len(bins)), chances, hits.astype(np.float64))
    )
    pools: list[tuple[float, float, float]] = []  # rows, sum of the chances, sum of the hits
    for pool in zip(rows, x, y, strict=True):
        pools.append(pool)
        while len(pools) > 1 and pools[-2][2] * pools[-1][0] >= pools[-1][2] * pools[-2][0]:
            last = pools.pop()
            pools[-1] = tuple(a + b for a, b in zip(pools[-1], last, strict=True))  # type: ignore[assignment]
    shares = [hit / count for count, _, hit in pools]
    if shares[0] == 0:
        shares[0] = min(1 / (pools[0][0] + 2), *shares[1:2], 1.0)
    if shares[-1] == 1:
        shares[-1] = max(1 - 1 / (pools[-1][0] + 2), *shares[-2:-1], 0.0)
    knots = {min(1.0, total / count): share for (count, total, _), share in zip(pools, shares, strict=True)}
    return Curve(x=list(knots), y=list(knots.values()))


FITS: Mapping[str, Callable[[Floats, Array], Calibrator]] = {
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
}


def cross_fit(chances: Floats, target: Array, *, folds: Array) -> dict[str, Floats]:
    """`[B]` log loss of each row without calibration (`none`), and by each method fitted on the other folds.

    Args:
        chances: `[B]`, or `[B, K]`.
        target: `[B]` 0 or 1, or the class.
        folds: `[B]` of each row; rows that hang together are in one.
    """
    losses = {"none": _compute_losses(chances, target), **{name: np.zeros(len(target)) for name in FITS}}
    for fold in np.unique(folds):
        inside = folds == fold
        for name, fit in FITS.items():
            fitted = fit(chances[~inside], target[~inside])
            losses[name][inside] = _compute_losses(apply(fitted, chances[inside]), target[inside])
    return losses


def apply(calibrator: Calibrator | None, chances: Floats) -> Floats:
    """Calibrated probabilities."""
    found: Floats = calibrate(torch.from_numpy(chances), calibrator).numpy()
    return found


def _compute_losses(chances: Floats, target: Array) -> Floats:
    columns = np.column_stack([1 - chances, chances]) if chances.ndim == 1 else chances
    own = columns[np.arange(len(target)), target]
    losses: Floats = -np.log(own.clip(EPSILON, 1))
    return losses


def choose(losses: Mapping[str, Floats], *, blocks: Array) -> str:
    """The first that no later one beats by more than a standard error, over blocks of rows that hang together.

    Args:
        losses: `[B]` by method, the simplest first.
        blocks: `[B]` of each row, from 0.
    """
    names = list(losses)
    chosen = names[0]
    for name in names[1:]:
        gains = losses[chosen] - losses[name]
        if gains.mean() > _measure_error(gains, blocks):
            chosen = name
    return chosen


def _measure_error(values: Floats, blocks: Array) -> float:
    """The standard error of the mean, from the sums of blocks."""
    sums = np.bincount(blocks, weights=values - values.mean())
    return float(np.sqrt((sums**2).sum() * len(sums) / max(1, len(sums) - 1)) / len(values))
