"""Two models on the same rows: how much better the one is, and whether that is beyond noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treadle.evaluation.intervals import Array, Estimate, Resampling, compare
from treadle.evaluation.resampling import ROW, Blocks
from treadle.evaluation.scores import Scoring
from treadle.experiment.spec import Experiment
from treadle.metrics.own import build_metrics
from treadle.metrics.registry import LOSS, Metric, find_metric, find_task_metric, write_score
from treadle.tasks import TRAITS

SEED = 0  # of the resamples: the same for all, so that two runs can be compared
_DEFAULT = Resampling(resamples=1000, coverage=0.95, seed=SEED)  # of a comparison where `evaluation.intervals` is null


@dataclass(frozen=True)
class Candidate:
    """What a model predicts of the rows, and how it decides."""

    prediction: Array  # `[B]`, or `[B, K]` for K classes or labels
    thresholds: Sequence[float] = ()  # of each label, which its bundle has learned; none: that of the experiment


@dataclass(frozen=True)
class Comparison:
    """The gain of one model over another by a metric, positive where it is better, with its interval."""

    metric: Metric
    gain: Estimate
    blocks: Blocks

    @property
    def is_better(self) -> bool:
        """Beyond noise: the whole interval is above 0."""
        return self.gain.low > 0

    @property
    def is_worse(self) -> bool:
        """Beyond noise: the whole interval is below 0."""
        return self.gain.high < 0

    @property
    def relation(self) -> str:
        """To the champion, in words."""
        return (
            "better than the champion beyond noise"
            if self.is_better
            else "worse than the champion beyond noise"
            if self.is_worse
            else "within noise of the champion"
        )

    def describe(self) -> str:
        """The gain in words, such as `ROC AUC 0.0120 better (0.0050 to 0.0190; 62 blocks by day)`."""
        blocks = "rows" if self.blocks.unit == ROW else f"blocks by {self.blocks.unit}"
        return f"{self.metric.title} {self.describe_gain().removesuffix(')')}; {self.blocks.count:,} {blocks})"

    def describe_gain(self) -> str:
        """The gain alone, such as `0.0120 better (0.0050 to 0.0190)`."""
        relation = "better" if self.gain.value > 0 else "worse" if self.gain.value < 0 else "apart"
        bounds = f"{write_score(self.gain.low)} to {write_score(self.gain.high)}"
        return f"{write_score(abs(self.gain.value))} {relation} ({bounds})"

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        blocks = {"unit": self.blocks.unit, "count": self.blocks.count}
        return {"metric": self.metric.name, "gain": self.gain.to_plain(), "better": self.is_better, "blocks": blocks}


def find_judging_metric(experiment: Experiment) -> Metric:
    """`evaluation.metric`; the loss of the task where nobody has said which value of it is better."""
    task = experiment.data.answer
    found = find_metric(experiment, experiment.evaluation.metric)
    if found is None or found.name == LOSS or found.higher_is_better is None:
        found = find_task_metric(task, TRAITS[task].loss_metric)
    assert found is not None, "every task has it"
    return found


def compare_predictions(
    first: Candidate,
    second: Candidate,
    *,
    target: Array,
    blocks: Blocks,
    experiment: Experiment,
) -> Comparison | None:
    """The gain of the first model over the second; None where there is no interval.

    Args:
        first: the one.
        second: the other, of the same rows.
        target: of these rows.
        blocks: of these rows.
        experiment: says by which metric, threshold and bins.
    """
    metric = find_judging_metric(experiment)
    difference = compare(
        first.prediction,
        second.prediction,
        target=target,
        blocks=blocks,
        metric=metric.name,
        scorings=(make_scoring(experiment, first.thresholds), make_scoring(experiment, second.thresholds)),
        resampling=make_resampling(experiment),
    )
    if difference is None:
        return None
    if not metric.higher_is_better:
        difference = Estimate(0.0 - difference.value, 0.0 - difference.high, 0.0 - difference.low)
    return Comparison(metric, difference, blocks)


def make_resampling(experiment: Experiment) -> Resampling:
    """How often an evaluation resamples, and what its intervals cover."""
    settings = experiment.evaluation.intervals
    return _DEFAULT if settings is None else Resampling(settings.resamples, coverage=settings.coverage, seed=SEED)


def make_scoring(experiment: Experiment, thresholds: Sequence[float] = ()) -> Scoring:
    """How an evaluation judges predictions; of metrics of the user's own, by the one that decides.

    Args:
        experiment: that is evaluated.
        thresholds: of each label, which a bundle has learned; none: that of the experiment for all.
    """
    settings = experiment.evaluation
    own = {name: measure for name, measure in build_metrics(experiment).items() if name == settings.metric}
    return Scoring(experiment.data.answer, tuple(thresholds) or settings.threshold, settings.calibration_bins, own)
