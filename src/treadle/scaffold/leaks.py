"""How well one column alone tells the target: a column that tells nearly all of it was written with the answer.

A column's values are grouped (numbers into bins of equal size, missing into one of their own), each group predicts the
mean of the target in one half of the rows, and the other half judges it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.schema import Task

BINS = 64
SUSPECT = {"binary": 0.9, "multiclass": 0.95, "regression": 0.95}  # AUC, mean AUC, R²: from here on it is left out
STRONG = 0.85  # from here on it is worth a look
GAPS = {"binary": 0.75, "multiclass": 0.75, "regression": 0.5}  # where the value is missing tells so much
TITLE = {"binary": "AUC", "multiclass": "AUC", "regression": "R²"}
_HUGE = 1e300  # stands for what is infinite
_PRIOR = 1.0  # rows of the overall mean that each group is given

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """What one column alone tells."""

    value: float  # AUC or R²
    gaps: float  # likewise, of the mere fact that the value is missing

    def is_suspect(self, task: Task) -> bool:
        """More than what is known beforehand usually tells."""
        return self.value >= SUSPECT[task] or self.gaps >= GAPS[task]

    def describe(self, task: Task) -> str:
        """In words."""
        if self.value < SUSPECT[task] and self.gaps >= GAPS[task]:
            return f"where it is missing tells the target alone: {TITLE[task]} {self.gaps:.3f}"
        return f"it alone tells the target: {TITLE[task]} {self.value:.3f}"


def score(values: pl.Series, target: pl.Series, *, task: Task) -> Score:
    """What a column tells by its values, and by its gaps."""
    by_gaps = score_column(values.is_null(), target, task=task) if values.null_count() else 0.0
    return Score(score_column(values, target, task=task), by_gaps)


def score_column(values: pl.Series, target: pl.Series, *, task: Task) -> float:
    """The AUC (0.5 to 1; of several classes the mean) or the R² (0 to 1) of one column alone, on unseen rows."""
    groups = _group(values)
    odd = np.arange(len(groups)) % 2 == 1
    if task == "regression":
        truth = target.cast(pl.Float64).to_numpy()
        return max(0.0, _r_squared(_predict(groups, truth, odd), truth[~odd]))
    classes = [target.max()] if task == "binary" else target.unique().sort().to_list()
    scores = []
    for name in classes:
        truth = (target == name).cast(pl.Float64).to_numpy()
        scores.append(_auc(_predict(groups, truth, odd), truth[~odd]))
    return float(np.mean(scores))


def _group(values: pl.Series) -> Groups:
    """A number from 0 for each value; bins for numbers and moments."""
    if values.dtype.is_temporal():
        values = values.to_physical()
    if values.dtype.is_numeric() and values.n_unique() > BINS:
        numbers = values.cast(pl.Float64).clip(-_HUGE, _HUGE).to_numpy()
        edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    return values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _predict(groups: Groups, truth: Floats, odd: NDArray[np.bool_]) -> Floats:
    """For the even rows, the mean of the odd rows of the same group."""
    size = int(groups.max()) + 1
    mean = truth[odd].mean()
    counts = np.bincount(groups[odd], minlength=size)
    sums = np.bincount(groups[odd], weights=truth[odd], minlength=size)
    means: Floats = (sums + _PRIOR * mean) / (counts + _PRIOR)
    return means[groups[~odd]]


def _r_squared(predicted: Floats, truth: Floats) -> float:
    spread = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - predicted) ** 2).sum() / spread) if spread else 0.0


def _auc(predicted: Floats, truth: Floats) -> float:
    """The share of pairs in the right order; ties count half. 0.5 where a class is absent."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return 0.5
    ranks = pl.Series(predicted).rank("average").to_numpy()
    return float((ranks[truth == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))
