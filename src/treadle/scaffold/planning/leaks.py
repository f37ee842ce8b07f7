"""How well one column alone predicts the target: one that predicts it almost perfectly is probably a leak.

A column's values are grouped (numbers into bins of equal size, missing ones into a bin of their own); each group
predicts the mean of the target over one half of the rows, and is evaluated on the other half. For two numbers a
straight line may predict better than bins, where rows are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.schema import Task
from treadle.tasks import TRAITS

BINS = 64
# AUC, mean AUC, R² from which a column is left out.
SUSPECT = {"binary": 0.9, "multiclass": 0.95, "regression": 0.95, "count": 0.95}
# AUC of one of several classes, from which on a column is left out. A measurement that sets one class apart, as the
# length of a petal does, comes near the first, but seldom near the second.
CLASS_SUSPECT = {"few": 0.98, "many": 0.999}  # by the number of different values
COPY = 0.9995  # AUC or R², from which a column is the target under another name
FEW = 20  # different values
SPIKE = 0.5  # share of rows with one value, from which it matters most whether a row has that value
CLASS_GAPS = 0.9  # the same for whether the value is missing
STRONG = 0.85  # AUC or R² from which a column is worth a look
# The same as SUSPECT for whether the value is missing.
GAPS = {"binary": 0.75, "multiclass": 0.75, "regression": 0.5, "count": 0.5}
TITLE = {"binary": "AUC", "multiclass": "AUC", "regression": "R²", "count": "R²"}
_HUGE = 1e300  # stands for what is infinite
_MIN_SCORED = 5  # rows of a class, below which its AUC is noise
_PRIOR = 1.0  # rows of the overall mean that each group is given

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScore:
    """How well a column alone separates one of several classes from the others."""

    name: Any
    value: float  # AUC
    num_rows: int  # of the class, that it is evaluated on


@dataclass(frozen=True)
class Strength:
    """How well values predict the target."""

    value: float  # AUC (of several classes the mean) or R²
    best: ClassScore | None = None  # of several classes, the best predicted


@dataclass(frozen=True)
class Score:
    """How well one column alone predicts the target."""

    own: Strength
    gaps: Strength  # by whether the value is missing
    is_fine: bool  # of many different values, none of which holds most rows

    @property
    def is_copy(self) -> bool:
        """Nothing but the target."""
        return self.own.value >= COPY

    def find_suspicion(self, task: Task) -> str:
        """Why the column is suspected to be a leak, as a sentence; empty where it is not."""
        if self.own.value >= SUSPECT[task]:
            return f"it alone predicts the target: {TITLE[task]} {self.own.value:.3f}"
        if self.own.best is not None and self.own.best.value >= CLASS_SUSPECT["many" if self.is_fine else "few"]:
            return f"it alone predicts the class {self.own.best.name!r}: AUC {self.own.best.value:.3f}"
        if self.gaps.value >= GAPS[task]:
            return f"whether it is missing predicts the target: {TITLE[task]} {self.gaps.value:.3f}"
        if self.gaps.best is not None and self.gaps.best.value >= CLASS_GAPS:
            return f"whether it is missing predicts the class {self.gaps.best.name!r}: AUC {self.gaps.best.value:.3f}"
        return ""

    def find_look(self, task: Task) -> str:
        """Why the column is worth a look, as a sentence; empty where it is not."""
        if self.own.value >= STRONG:
            return f"look: it alone predicts much of the target, {TITLE[task]} {self.own.value:.3f}"
        if self.own.best is not None and self.own.best.value >= CLASS_SUSPECT["few"]:
            return f"look: it alone predicts much of the class {self.own.best.name!r}, AUC {self.own.best.value:.3f}"
        return ""


def score(values: pl.Series, target: pl.Series, *, task: Task) -> Score:
    """Score a column by its values, and by where they are missing."""
    gaps = score_column(values.is_null(), target, task=task) if values.null_count() else Strength(0.0)
    return Score(score_column(values, target, task=task), gaps, _is_fine(values))


def _correlate(values: pl.Series, target: pl.Series) -> float:
    """The share of the variance that a straight line explains, where both are known; 0 for other columns."""
    if not values.dtype.is_numeric():
        return 0.0
    found = pl.select(pl.corr(values.cast(pl.Float64), target.cast(pl.Float64))).item()
    return float(found**2) if found is not None and np.isfinite(found) else 0.0


def _is_fine(values: pl.Series) -> bool:
    """Many different values, none of which holds most rows."""
    rows = values.rename("value").value_counts(name="rows")["rows"].to_numpy()
    return len(rows) > FEW and bool(rows.max() < len(values) * SPIKE)


def score_column(values: pl.Series, target: pl.Series, *, task: Task) -> Strength:
    """The AUC (0.5 to 1; of several classes the mean) or the R² (0 to 1) of one column alone, on unseen rows."""
    groups = _group(values)
    half = _draw_half(len(groups))
    if TRAITS[task].is_value:
        truth = target.cast(pl.Float64).to_numpy()
        by_groups = _r_squared(_predict(groups, truth, half), truth[~half])
        return Strength(max(0.0, by_groups, _correlate(values, target)))
    classes = [target.max()] if task == "binary" else target.unique().sort().to_list()
    scores = []
    for name in classes:
        truth = (target == name).cast(pl.Float64).to_numpy()
        scores.append(ClassScore(name, _auc(_predict(groups, truth, half), truth[~half]), int(truth[~half].sum())))
    scored = [each for each in scores if each.num_rows >= _MIN_SCORED] if task == "multiclass" else []
    best = max(scored, key=lambda each: each.value, default=None)
    return Strength(float(np.mean([each.value for each in scores])), best)


def _draw_half(num_rows: int) -> NDArray[np.bool_]:
    """A random half of the rows, so that periodic rows (each store, day by day) are in both halves."""
    half = np.zeros(num_rows, dtype=np.bool_)
    half[np.random.default_rng(0).permutation(num_rows)[: num_rows // 2]] = True
    return half


def _group(values: pl.Series) -> Groups:
    """A number from 0 for each value; bins for numbers and moments."""
    if values.dtype.is_temporal():
        values = values.to_physical()
    if values.dtype.is_numeric() and values.n_unique() > BINS:
        numbers = values.cast(pl.Float64).clip(-_HUGE, _HUGE).to_numpy()
        quantiles = np.nanquantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
        frequent = quantiles[1:][np.diff(quantiles) == 0]  # each is a bin of its own
        edges = np.unique([*quantiles, *np.nextafter(frequent, np.inf)])
        return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    return values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _predict(groups: Groups, truth: Floats, half: NDArray[np.bool_]) -> Floats:
    """For each row of the other half, the mean of the rows of its group in this one."""
    size = int(groups.max()) + 1
    mean = truth[half].mean()
    counts = np.bincount(groups[half], minlength=size)
    sums = np.bincount(groups[half], weights=truth[half], minlength=size)
    means: Floats = (sums + _PRIOR * mean) / (counts + _PRIOR)
    return means[groups[~half]]


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
