"""Fit conformal intervals and sets to predictions of rows that the model has not seen: the maths alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.bundle.conformal import Band, Sets, Span, Spread, spread_classes
from treadle.errors import TreadleError

Array = NDArray[Any]
Floats = NDArray[np.float64]
_SPREAD_ROWS = 200  # of each half, from which intervals are of different widths
_BIN_ROWS, _BINS = 100, 20  # of the spread: rows of a bin at least, bins at most
_LEAST_SHARE = 0.1  # of the mean error: the smallest spread
_SEED = 0  # of the halves


def fit_span(prediction: Floats, target: Floats, *, blocks: Array, coverage: float, least: float | None) -> Span:
    """Intervals that leave out as many values below as above.

    One half of the blocks tells how far predictions of a size are off; the other half, which multiple of it holds as
    many values as declared (normalised split conformal prediction: Lei and others, 2018).

    Args:
        prediction: `[B]`.
        target: `[B]`.
        blocks: `[B]` of each row, from 0.
        coverage: share of the values that lie inside.
        least: value below which there is none.

    Raises:
        TreadleError: there are too few rows for the coverage.
    """
    errors = target - prediction
    first = np.random.default_rng(_SEED).permutation(int(blocks.max()) + 1)[blocks] % 2 == 0
    if min(first.sum(), (~first).sum()) < _SPREAD_ROWS:
        first = np.zeros(len(errors), dtype=bool)  # too few to be halved: all intervals are as wide
    spread = _fit_spread(prediction[first], errors[first])
    scores = np.sort(errors[~first] / np.interp(prediction[~first], spread.x, spread.y))
    outside = _count_outside(len(scores), coverage)
    below, above = float(scores[outside - 1]), float(scores[-outside])
    return Span(coverage=coverage, below=below, above=above, spread=spread, least=least)


def fit_band(quantiles: Floats, target: Floats, *, coverage: float) -> Band:
    """What the outer quantiles are moved by, so that as many values lie below as above them (conformalised quantiles).

    Args:
        quantiles: `[B, Q]`, rising.
        target: `[B]`.
        coverage: share of the values that lie inside.

    Raises:
        TreadleError: there are too few rows for the coverage.

    Source: Romano, Patterson and Candes, "Conformalized Quantile Regression" (NeurIPS 2019).
    """
    low, high = np.sort(target - quantiles[:, 0]), np.sort(target - quantiles[:, -1])
    outside = _count_outside(len(target), coverage)
    return Band(coverage=coverage, below=float(low[outside - 1]), above=float(high[-outside]))


def _count_outside(num_rows: int, coverage: float) -> int:
    """The place of each end among sorted errors, from 1.

    Raises:
        TreadleError: there are too few.
    """
    outside = math.floor((num_rows + 1) * (1 - coverage) / 2 + 1e-9)
    if outside < 1:
        raise TreadleError(
            f"evaluation.conformal.coverage: {coverage:g} takes {math.ceil(2 / (1 - coverage)) - 1:,} rows of the "
            f"validation split, and there are {num_rows:,}; lower it, or enlarge the split"
        )
    return outside


def _fit_spread(prediction: Floats, errors: Floats) -> Spread:
    """The mean size of the errors in bins of like predictions; 1 of no rows, or of no errors."""
    sizes = np.abs(errors)
    if not sizes.any():
        return Spread(x=[0.0], y=[1.0])
    num = max(1, min(_BINS, len(sizes) // _BIN_ROWS))
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, num + 1)[1:-1]))
    bins = np.unique(np.searchsorted(edges, prediction, side="right"), return_inverse=True)[1]
    rows, x, y = (np.bincount(bins, weights=values) for values in (np.ones(len(bins)), prediction, sizes))
    knots = dict(zip((x / rows).tolist(), (y / rows).clip(_LEAST_SHARE * sizes.mean()).tolist(), strict=True))
    return Spread(x=list(knots), y=list(knots.values()))


def fit_sets(chances: Floats, target: Array, *, coverage: float, by_class: bool) -> Sets:
    """Sets by a threshold of the probability (Sadinle, Lei and Wasserman, 2019).

    Args:
        chances: `[B]` of the positive class, or `[B, K]`.
        target: `[B]` 0 or 1, or the class; -1 is in no set.
        coverage: share of the rows whose class is in its set.
        by_class: whether that holds of each class on its own; one with too few rows is in every set.
    """
    shares = spread_classes(chances)
    num_classes = shares.shape[1]
    own = np.where(target >= 0, shares[np.arange(len(target)), target], 0.0)
    groups = [own[target == k] for k in range(num_classes)] if by_class else [own] * num_classes
    return Sets(coverage=coverage, thresholds=[_find_threshold(np.sort(group), coverage) for group in groups])


def _find_threshold(scores: Floats, coverage: float) -> float:
    """The largest that leaves out no more than may be; 0 where too few rows say so."""
    outside = math.floor((len(scores) + 1) * (1 - coverage) + 1e-9)
    return float(scores[outside - 1]) if outside >= 1 else 0.0
