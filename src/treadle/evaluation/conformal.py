"""Conformal prediction on the test split: how often intervals, or sets, hold the label, and how wide they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.bundle.conformal import HIGH, LOW, SET
from treadle.evaluation.comparison import make_resampling
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.intervals import Measured, measure
from treadle.evaluation.resampling import Draws, Floats
from treadle.evaluation.worst_slices import name_spans
from treadle.schema import BINARY_CLASSES
from treadle.tasks import TRAITS

_PARTS = 5  # of the rows by prediction, in which the coverage of intervals is measured, too
_MAX_CLASSES = 20  # whose coverage is measured: the most frequent

Columns = list[tuple[str, NDArray[Any], NDArray[Any]]]  # name, numbers of the rows, and which rows count


@dataclass(frozen=True)
class Coverage:
    """What was found."""

    declared: float
    coverage: Measured  # share of the rows whose interval, or set, holds the label
    size: Measured  # mean width of the intervals, or mean number of classes
    others: Mapping[str, Measured]  # shares of the rows below and above, or whose set has one class only
    parts: Mapping[str, Measured]  # coverage by fifths of the prediction, or by class
    is_set: bool

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "declared": self.declared,
            "coverage": self.coverage.to_plain(),
            "classes" if self.is_set else "width": self.size.to_plain(),
            **{name: found.to_plain() for name, found in self.others.items()},
            "parts": {name: found.to_plain() for name, found in self.parts.items()},
        }

    def to_numbers(self) -> dict[str, float]:
        """Coverage and size; the coverage of the worst part."""
        worst = min((found.value for found in self.parts.values()), default=self.coverage.value)
        return {
            "coverage": self.coverage.value,
            "classes" if self.is_set else "width": self.size.value,
            "worst_coverage": worst,
        }


def find_coverage(evaluated: Evaluated) -> Coverage | None:
    """Measure the intervals, or sets, of the bundle; None where it has none."""
    conformal = evaluated.bundle.card.conformal
    if conformal is None:
        return None
    predicted = pl.read_parquet(evaluated.folder.evaluation / "predictions.parquet")
    is_set = not TRAITS[evaluated.task].is_value
    columns = _list_set_columns(predicted, evaluated) if is_set else _list_interval_columns(predicted, evaluated)
    coverage, size, *rest = _measure_means(columns, evaluated)
    names = [name for name, *_ in columns[2:]]
    num_others = 1 if is_set else 2
    return Coverage(
        conformal.coverage,
        coverage,
        size,
        dict(zip(names[:num_others], rest[:num_others], strict=True)),
        dict(zip(names[num_others:], rest[num_others:], strict=True)),
        is_set,
    )


def _list_interval_columns(predicted: pl.DataFrame, evaluated: Evaluated) -> Columns:
    low, high, target = predicted[LOW].to_numpy(), predicted[HIGH].to_numpy(), evaluated.target.numpy()
    inside, everything = (low <= target) & (target <= high), np.ones(len(target), dtype=bool)
    values = evaluated.predictions[MODEL].numpy()
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _PARTS + 1)[1:-1]))
    places = np.searchsorted(edges, values, side="right")
    parts = [values[places == place] for place in np.unique(places)]
    names = name_spans(((part.min(), part.max()) for part in parts), digits=4)
    return [
        ("coverage", inside, everything),
        ("width", high - low, everything),
        ("below", target < low, everything),
        ("above", target > high, everything),
        *((name, inside, places == place) for name, place in zip(names, np.unique(places), strict=True)),
    ]


def _list_set_columns(predicted: pl.DataFrame, evaluated: Evaluated) -> Columns:
    classes = list(evaluated.bundle.classes or BINARY_CLASSES)
    chosen = predicted.select(f"{SET}{name}" for name in classes).to_numpy()
    target = evaluated.target.numpy().astype(np.int64)
    inside = chosen[np.arange(len(target)), target] & (target >= 0)
    sizes, everything = chosen.sum(axis=1), np.ones(len(target), dtype=bool)
    counts = np.bincount(target[target >= 0], minlength=len(classes))
    frequent = [k for k in sorted(np.argsort(-counts, kind="stable")[:_MAX_CLASSES]) if counts[k]]
    return [
        ("coverage", inside, everything),
        ("classes", sizes, everything),
        ("one class", sizes == 1, everything),
        *((classes[k], inside, target == k) for k in frequent),
    ]


def _measure_means(columns: Columns, evaluated: Evaluated) -> list[Measured]:
    """The mean of each column over its rows, with intervals."""
    blocks = evaluated.blocks.pool()
    sums = blocks.sum(*(np.where(mask, values, 0.0) for _, values, mask in columns))
    rows = blocks.sum(*(mask for *_, mask in columns))

    def evaluate(draws: Draws) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            means: Floats = (draws.weights @ sums) / (draws.weights @ rows)
        return means

    return measure(evaluate, blocks=blocks, resampling=make_resampling(evaluated.experiment))
