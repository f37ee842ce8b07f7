"""How sure an evaluation is: intervals of each metric, and of each difference between the model and a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.evaluation.comparison import make_resampling, make_scoring
from treadle.evaluation.intervals import Array, Estimate, resample
from treadle.evaluation.resampling import MIN_BLOCKS, ROW, Blocks
from treadle.experiment.spec import Experiment
from treadle.metrics.registry import Metric, write_score

Estimates = Mapping[str, Estimate | None]  # by metric; None: it has no interval


@dataclass(frozen=True)
class IntervalTable:
    """Intervals as text: metrics as rows, the model and its baselines as columns; and the differences likewise."""

    caption: str
    columns: list[str]
    rows: list[tuple[str, list[tuple[str, bool]]]]  # metric; text and whether a difference is beyond noise


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

    def tabulate(self, metrics: Iterable[Metric]) -> IntervalTable:
        """For the report; metrics of the user's own have no interval."""
        columns = [name.replace("_", " ") for name in self.intervals]
        columns += [f"model less {name.replace('_', ' ')}" for name in self.differences]
        parts = [*((found, False) for found in self.intervals.values())]
        parts += [(found, True) for found in self.differences.values()]
        rows = [
            (
                metric.title,
                [_write(found.get(metric.name), is_difference=is_difference) for found, is_difference in parts],
            )
            for metric in metrics
            if any(metric.name in found for found, _ in parts)
        ]
        return IntervalTable(self._describe(), columns, rows)

    def _describe(self) -> str:
        if self.blocks.count < MIN_BLOCKS:
            return f"No intervals: the test split has {self.blocks.count} blocks by {self.blocks.unit}, too few."
        blocks = (
            "single rows" if self.blocks.unit == ROW else f"{self.blocks.count:,} blocks of rows by {self.blocks.unit}"
        )
        return (
            f"{self.coverage:.0%} intervals by a bootstrap over {blocks}. A difference of the model from a "
            "baseline is of the same resamples; it is bold where its interval leaves out 0, and within noise where not."
        )


def _write(found: Estimate | None, *, is_difference: bool) -> tuple[str, bool]:
    if found is None:
        return "-", False
    span = f"{write_score(found.low)} to {write_score(found.high)}"
    return (f"{write_score(found.value)} ({span})", found.excludes_zero) if is_difference else (span, False)


def find_uncertainty(
    experiment: Experiment, *, predictions: Mapping[str, Array], target: Array, blocks: Blocks
) -> Uncertainty | None:
    """Resample what was evaluated; None if `evaluation.intervals` is null.

    Args:
        experiment: that was evaluated.
        predictions: of the model, which is the first, and of each baseline.
        target: of the same rows.
        blocks: of the same rows.
    """
    settings = experiment.evaluation.intervals
    if settings is None:
        return None
    samples = resample(
        predictions,
        target=target,
        blocks=blocks,
        scoring=make_scoring(experiment),
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
