"""Quantiles of a regression: what each loses, how many labels lie below it, and what pairs of them hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from treadle.evaluation.comparison import make_resampling
from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.intervals import Array, Measured, measure
from treadle.evaluation.parity import read_outputs
from treadle.evaluation.resampling import Draws, Floats
from treadle.schema import LABEL

_SAME = 1e-9  # by which two levels are a pair, such as 0.1 and 0.9


@dataclass(frozen=True)
class Level:
    """One quantile."""

    level: float  # share of the labels that should lie below
    below: Measured  # share that does
    pinball: Measured  # mean loss
    constant: Measured  # the same of the training split's quantile, whatever the row


@dataclass(frozen=True)
class Pair:
    """The interval between two quantiles."""

    low: float
    high: float
    coverage: Measured  # share of the labels inside
    width: Measured  # mean

    @property
    def declared(self) -> float:
        """The share that should be inside."""
        return round(self.high - self.low, 12)


@dataclass(frozen=True)
class Quantiles:
    """What was found."""

    levels: Sequence[Level]
    pairs: Sequence[Pair]  # the widest first
    pinball: Measured  # the mean over all levels
    constant: Measured
    crossed: int  # rows in which a quantile is below one of a lower level

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pinball": self.pinball.to_plain(),
            "constant": self.constant.to_plain(),
            "crossed": self.crossed,
            "levels": {
                f"{one.level:g}": {
                    "below": one.below.to_plain(),
                    "pinball": one.pinball.to_plain(),
                    "constant": one.constant.to_plain(),
                }
                for one in self.levels
            },
            "pairs": {
                f"{one.low:g} to {one.high:g}": {
                    "declared": one.declared,
                    "coverage": one.coverage.to_plain(),
                    "width": one.width.to_plain(),
                }
                for one in self.pairs
            },
        }

    def to_numbers(self) -> dict[str, float]:
        """The loss over all levels, and how far a level lies from its share at most."""
        gaps = [abs(one.below.value - one.level) for one in self.levels]
        return {"pinball": self.pinball.value, "worst_gap": max(gaps)}


def find_quantiles(evaluated: Evaluated) -> Quantiles | None:
    """Measure the quantiles of the bundle; None where it has none."""
    levels = evaluated.bundle.card.target.levels
    if not levels:
        return None
    predicted = pl.read_parquet(evaluated.folder.evaluation / "predictions.parquet")
    quantiles = read_outputs(predicted, evaluated.bundle).double().numpy()
    target = evaluated.target.double().numpy()
    labels = evaluated.read_rows("train").select(LABEL).collect()[LABEL].to_numpy()
    constants = np.quantile(labels, levels)
    columns: dict[str, Array] = {}
    for place, level in enumerate(levels):
        columns[f"below {level}"] = target <= quantiles[:, place]
        columns[f"pinball {level}"] = lose(quantiles[:, place], target, level=level)
        columns[f"constant {level}"] = lose(constants[place], target, level=level)
    pairs = [(a, b) for a, b in zip(levels, reversed(levels), strict=True) if a < b and abs(a + b - 1) < _SAME]
    for low, high in pairs:
        ends = quantiles[:, levels.index(low)], quantiles[:, levels.index(high)]
        columns[f"coverage {low}"] = (ends[0] <= target) & (target <= ends[1])
        columns[f"width {low}"] = ends[1] - ends[0]
    for name in ("pinball", "constant"):
        columns[name] = np.mean([columns[f"{name} {level}"] for level in levels], axis=0)
    found = _measure_means(columns, evaluated)
    return Quantiles(
        [
            Level(level, found[f"below {level}"], found[f"pinball {level}"], found[f"constant {level}"])
            for level in levels
        ],
        [Pair(low, high, found[f"coverage {low}"], found[f"width {low}"]) for low, high in pairs],
        found["pinball"],
        found["constant"],
        int((np.diff(quantiles, axis=1) < 0).any(axis=1).sum()),
    )


def lose(quantile: Floats | float, target: Floats, *, level: float) -> Floats:
    """The pinball loss of each row.

    >>> lose(1.0, np.array([2.0, 0.0]), level=0.9).round(6).tolist()
    [0.9, 0.1]
    """
    error = target - quantile
    return np.maximum(level * error, (level - 1) * error)


def _measure_means(columns: Mapping[str, Array], evaluated: Evaluated) -> dict[str, Measured]:
    """The mean of each column, with its interval."""
    blocks = evaluated.blocks.pool()
    sums, rows = blocks.sum(*columns.values()), blocks.sum(np.ones(len(evaluated.target)))

    def evaluate(draws: Draws) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            means: Floats = draws.multiply(sums) / draws.multiply(rows)
        return means

    found = measure(evaluate, blocks=blocks, resampling=make_resampling(evaluated.experiment))
    return dict(zip(columns, found, strict=True))
