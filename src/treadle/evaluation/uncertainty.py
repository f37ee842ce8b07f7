"""How sure an evaluation is: intervals of each metric, and of each difference between the model and a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from treadle.evaluation.comparison import make_resampling, make_scoring
from treadle.evaluation.intervals import Array, Estimate, resample
from treadle.evaluation.resampling import MIN_BLOCKS, ROW, Blocks
from treadle.experiment.spec import Experiment
from treadle.metrics.registry import Metric

Estimates = Mapping[str, Estimate | None]  # by metric; None: it has no interval


Verdict = Literal["better", "worse", "within noise", "different"]  # different: nobody has said which is better


class Difference(NamedTuple):
    """The model less a baseline, in one metric."""

    estimate: Estimate
    verdict: Verdict


@dataclass(frozen=True)
class Differences:
    """The model less each baseline, in one metric: a row of the report."""

    title: str
    cells: list[Difference | None]  # by baseline; None: no interval


@dataclass(frozen=True)
class Uncertainty:
    """Intervals of an evaluation."""

    blocks: Blocks
    coverage: float
    intervals: Mapping[str, Estimates]  # of the model and of each baseline
    differences: Mapping[str, Estimates]  # the model less each baseline

    def to_plain(self) -> dict[str, Any]:
        """For `intervals.json`."""
        return {
            "blocks": {"unit": self.blocks.unit, "count": self.blocks.count},
            "coverage": self.coverage,
            "intervals": {
                name: {metric: None if e is None else {"low": e.low, "high": e.high} for metric, e in found.items()}
                for name, found in self.intervals.items()
            },
            "differences": {
                name: {metric: None if e is None else e.to_plain() for metric, e in found.items()}
                for name, found in self.differences.items()
            },
        }

    def list_differences(self, metrics: Iterable[Metric]) -> list[Differences]:
        """For the report; metrics of the user's own have no interval."""
        return [
            Differences(metric.title, [_judge(found.get(metric.name), metric) for found in self.differences.values()])
            for metric in metrics
            if any(metric.name in found for found in self.differences.values())
        ]

    def describe(self) -> str:
        """How the intervals were made."""
        if self.blocks.count < MIN_BLOCKS:
            return f"No intervals: the test split has {self.blocks.count} blocks by {self.blocks.unit}, too few."
        blocks = (
            "single rows" if self.blocks.unit == ROW else f"{self.blocks.count:,} blocks of rows by {self.blocks.unit}"
        )
        return (
            f"{self.coverage:.0%} intervals by a bootstrap over {blocks}. A difference of the model from a "
            "baseline is of the same resamples, and within noise where its interval holds 0."
        )


def _judge(found: Estimate | None, metric: Metric) -> Difference | None:
    if found is None:
        return None
    if not found.excludes_zero:
        return Difference(found, "within noise")
    if metric.higher_is_better is None:
        return Difference(found, "different")
    return Difference(found, "better" if (found.value > 0) == metric.higher_is_better else "worse")


def find_uncertainty(
    experiment: Experiment,
    *,
    predictions: Mapping[str, Array],
    target: Array,
    blocks: Blocks,
    thresholds: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> Uncertainty | None:
    """Resample what was evaluated; None if `evaluation.intervals` is null.

    Args:
        experiment: that was evaluated.
        predictions: of the model, which is the first, and of each baseline.
        target: of the same rows.
        blocks: of the same rows.
        thresholds: of each label, by model; none: that of the experiment.
    """
    settings = experiment.evaluation.intervals
    if settings is None:
        return None
    samples = resample(
        predictions,
        target=target,
        blocks=blocks,
        scoring={name: make_scoring(experiment, thresholds.get(name, ())) for name in predictions},
        resampling=make_resampling(experiment),
    )
    model, *others = samples
    differences = {name: samples[model].subtract(samples[name]) for name in others}
    return Uncertainty(
        blocks,
        settings.coverage,
        {name: found.estimate_all(coverage=settings.coverage) for name, found in samples.items()},
        {name: found.estimate_all(coverage=settings.coverage) for name, found in differences.items()},
    )
