"""Intervals of metrics, and of differences between models, by a bootstrap over blocks of rows.

Models are compared in pairs: both are judged on the same resamples, so that what is hard about a day is hard for both,
and cancels. Nothing here needs more than NumPy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.evaluation.resampling import Blocks, Draws, Floats, draw, find_bounds
from treadle.evaluation.scores import GAPS, Scoring, make_statistics

Array = NDArray[Any]
MIN_OWN = 200  # resamples of a metric of the user's own, however many rows there are
_OWN_ROWS = 20_000_000  # on which it is computed, each as often as it is drawn: more of few rows, fewer of many


@dataclass(frozen=True)
class Resampling:
    """How many resamples are drawn, and what their intervals cover."""

    resamples: int
    coverage: float  # between 0 and 1
    seed: int


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    value: float  # on all rows
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is beyond noise."""
        return self.low > 0 or self.high < 0

    def to_plain(self) -> dict[str, float]:
        """For a file of metrics."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Measured:
    """A value with its interval, where it has one."""

    value: float
    low: float | None
    high: float | None

    def excludes(self, other: float) -> bool:
        """Whether the interval leaves out a number: they differ beyond noise."""
        return self.low is not None and self.high is not None and not self.low <= other <= self.high

    def to_plain(self) -> dict[str, float | None]:
        """For JSON, which has no NaN."""
        return {"value": self.value if np.isfinite(self.value) else None, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Samples:
    """Metrics of one model on all rows, and in each resample."""

    whole: Mapping[str, float]
    resampled: Mapping[str, Floats]  # `[R]` by metric
    num_blocks: int

    def subtract(self, other: Samples) -> Samples:
        """The differences to another model's, of the same resamples."""
        return Samples(
            {name: value - other.whole[name] for name, value in self.whole.items()},
            {name: values - other.resampled[name] for name, values in self.resampled.items()},
            self.num_blocks,
        )

    def estimate(self, metric: str, *, coverage: float) -> Estimate | None:
        """The metric with its interval; None where it has none: too few blocks, or it is seldom defined."""
        values = self.resampled[metric]
        if metric in GAPS:
            values = recentre(values, np.float64(self.whole[metric]))
        bounds = find_bounds(values, coverage=coverage, num_blocks=self.num_blocks)
        if bounds is None or not np.isfinite(self.whole[metric]):
            return None
        return Estimate(self.whole[metric], *bounds)

    def estimate_all(self, *, coverage: float) -> dict[str, Estimate | None]:
        """Of each metric."""
        return {name: self.estimate(name, coverage=coverage) for name in self.whole}

    def measure_all(self, *, coverage: float) -> dict[str, Measured | None]:
        """Each metric, with its interval where it has one; None where it is not defined."""
        found = self.estimate_all(coverage=coverage)
        bounds = {name: (None, None) if one is None else (one.low, one.high) for name, one in found.items()}
        return {
            name: Measured(value, *bounds[name]) if np.isfinite(value) else None for name, value in self.whole.items()
        }


def recentre(values: Floats, whole: Floats | np.float64) -> Floats:
    """Resampled gaps `[R]` or `[R, k]`, moved so that their mean is the value on all rows.

    Noise raises a gap, and a resample has more of it. What is never below 0 stays so.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what no resample defines has no mean
        moved: Floats = values + (whole - np.nanmean(values, axis=0))
        lowest = np.where(np.nanmin(values, axis=0) >= 0, 0.0, -np.inf)
    return np.maximum(moved, lowest)


def resample(
    candidates: Mapping[str, Array],
    *,
    target: Array,
    blocks: Blocks,
    scoring: Scoring | Mapping[str, Scoring],
    resampling: Resampling,
    metrics: Collection[str] | None = None,
) -> dict[str, Samples]:
    """The metrics of each model in the same resamples; of the user's own, in the first ones that time allows.

    Args:
        candidates: predictions by name, `[B]` or `[B, K]` each.
        target: `[B]` of the same rows; of a multiclass task the index of the class.
        blocks: of the same rows.
        scoring: what is computed, of all alike or of each by its name.
        resampling: how often, and from which seed.
        metrics: those that are computed; None: all of the task.
    """
    scorings = scoring if isinstance(scoring, Mapping) else dict.fromkeys(candidates, scoring)
    made = {
        name: {
            metric: statistic
            for metric, statistic in make_statistics(
                values, target=target, blocks=blocks, scoring=scorings[name]
            ).items()
            if metrics is None or metric in metrics
        }
        for name, values in candidates.items()
    }
    whole = _draw_all(blocks)
    few = max(MIN_OWN, _OWN_ROWS // max(1, len(target)))
    drawn: dict[str, dict[str, list[Floats]]] = {name: {metric: [] for metric in made[name]} for name in made}
    done = 0
    chunks = draw(blocks, resamples=resampling.resamples, seed=resampling.seed)
    for draws in chain.from_iterable(chunk.split(target.size) for chunk in chunks):
        first = draws.head(few - done)
        for name, statistics in made.items():
            for metric, statistic in statistics.items():
                drawn[name][metric].append(statistic.evaluate(first if metric in scorings[name].own else draws))
        done += len(draws.counts)
    return {
        name: Samples(
            {metric: float(statistic.evaluate(whole)[0]) for metric, statistic in statistics.items()},
            {metric: np.concatenate(parts) for metric, parts in drawn[name].items()},
            blocks.count,
        )
        for name, statistics in made.items()
    }


def measure(
    evaluate: Callable[[Draws], Floats], *, blocks: Blocks, resampling: Resampling, are_gaps: bool = False
) -> list[Measured]:
    """Some numbers with their intervals, all of the same resamples.

    Args:
        evaluate: from R draws of the blocks to `[R, k]` numbers; NaN where one is not defined.
        blocks: of the rows.
        resampling: how often, and from which seed.
        are_gaps: whether noise alone raises them.
    """
    whole = evaluate(_draw_all(blocks))[0]
    parts = [evaluate(draws) for draws in draw(blocks, resamples=resampling.resamples, seed=resampling.seed)]
    drawn = recentre(np.concatenate(parts), whole) if are_gaps else np.concatenate(parts)
    found = [find_bounds(values, coverage=resampling.coverage, num_blocks=blocks.count) for values in drawn.T]
    bounds = [(None, None) if pair is None else pair for pair in found]
    return [Measured(float(value), *pair) for value, pair in zip(whole, bounds, strict=True)]


def _draw_all(blocks: Blocks) -> Draws:
    """Every block once."""
    once = np.ones((1, blocks.count))
    return Draws(once.astype(np.int32), once)


def compare(
    first: Array,
    second: Array,
    *,
    target: Array,
    blocks: Blocks,
    metric: str,
    scorings: tuple[Scoring, Scoring],
    resampling: Resampling,
) -> Estimate | None:
    """The difference of a metric, first less second, with its interval.

    Args:
        first: predictions of the one, such as a challenger.
        second: predictions of the other for the same rows, such as the champion.
        target: of these rows.
        blocks: of these rows.
        metric: of the task, by its name in metrics.json; whether higher is better is the registry's to say.
        scorings: of each: task, threshold and bins.
        resampling: how often, and from which seed.

    Returns:
        None where there is no interval: too few blocks (`MIN_BLOCKS`), or the metric is seldom defined.
    """
    samples = resample(
        {"first": first, "second": second},
        target=target,
        blocks=blocks,
        scoring=dict(zip(("first", "second"), scorings, strict=True)),
        resampling=resampling,
        metrics=[metric],
    )
    difference = samples["first"].subtract(samples["second"])
    return difference.estimate(metric, coverage=resampling.coverage) if difference.whole else None


def estimate_means(values: Floats, *, blocks: Blocks, resampling: Resampling) -> list[Estimate | None]:
    """The mean of each column of `[B, T]`, with its interval; None where there are too few blocks."""
    sums = blocks.sum(*values.T, np.ones(len(values)))
    drawn = [draws.multiply(sums) for draws in draw(blocks, resamples=resampling.resamples, seed=resampling.seed)]
    totals = np.concatenate(drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = totals[:, :-1] / totals[:, -1:]
    bounds = [find_bounds(one, coverage=resampling.coverage, num_blocks=blocks.count) for one in means.T]
    return [
        None if found is None else Estimate(float(value), *found)
        for value, found in zip(values.mean(axis=0), bounds, strict=True)
    ]


def to_plain(estimates: Mapping[str, Estimate | None]) -> dict[str, Any]:
    """For a file of metrics: null where there is no interval."""
    return {name: None if found is None else found.to_plain() for name, found in estimates.items()}
