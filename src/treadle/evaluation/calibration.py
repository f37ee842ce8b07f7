"""Calibration: whether predicted probabilities are as frequent as they say, with bands.

Of a multiclass task the probability of the predicted class is judged as one (top-label), and that of each frequent
class against the rest. Of several labels all pairs of a row and a label are judged as one, and each frequent label by
itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from treadle.bundle import compute_raw
from treadle.evaluation.comparison import make_resampling
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.intervals import Array, Measured, measure
from treadle.evaluation.resampling import Blocks, Draws, Floats
from treadle.evaluation.scores import CalibrationError, CategorySums
from treadle.experiment.spec import Experiment
from treadle.pages.charts import Line, draw_chart
from treadle.tasks import TRAITS

MAX_CLASSES = 8  # that are judged one by one: the most frequent


@dataclass(frozen=True)
class Point:
    """A bin of rows with like probabilities."""

    predicted: float  # mean
    observed: Measured  # share
    rows: int


@dataclass(frozen=True)
class Reliability:
    """How probabilities relate to what happened."""

    error: Measured  # mean gap, by bins of equal width: the metric `calibration_error`
    terms: Mapping[str, Measured]  # of the Brier score: reliability less resolution plus uncertainty, and the remainder
    points: Sequence[Point]  # bins of about equally many rows; equal probabilities share one

    @property
    def strayed(self) -> int:
        """Bins whose band leaves out what was predicted."""
        return sum(point.observed.excludes(point.predicted) for point in self.points)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "error": self.error.to_plain(),
            "brier": {name: term.to_plain() for name, term in self.terms.items()},
            "curve": [
                {"predicted": point.predicted, "observed": point.observed.to_plain(), "rows": point.rows}
                for point in self.points
            ],
        }


@dataclass(frozen=True)
class Calibration:
    """What was found of a classification."""

    whole: Reliability  # of the positive class, of the predicted one, or of all pairs of a row and a label
    errors: Mapping[str, Measured] = field(default_factory=dict)  # by class, against the rest, or by label
    method: str = "none"  # that was fitted on the validation split
    before: Reliability | None = None  # of what the model gives, where that is calibrated
    has_labels: bool = False  # whether errors are by label

    @property
    def chart(self) -> str:
        """The reliability curve with its band, as SVG."""
        lines = [_draw_line("model", self.whole)]
        if self.before is not None:
            lines = [_draw_line("calibrated", self.whole), _draw_line("before", self.before)]
        return draw_chart(title="Reliability", x="predicted", y="observed", lines=lines, diagonal=True)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        errors = {name: error.to_plain() for name, error in self.errors.items()}
        before = {} if self.before is None else {"method": self.method, "before": self.before.to_plain()}
        return self.whole.to_plain() | ({"classes": errors} if errors else {}) | before

    def to_numbers(self) -> dict[str, float]:
        """The calibration error and the terms of the Brier score; the mean error over the classes."""
        terms = {name: term.value for name, term in self.whole.terms.items() if name != "remainder"}
        errors = [error.value for error in self.errors.values()]
        return {
            "error": self.whole.error.value,
            **terms,
            **({"class_error": math.fsum(errors) / len(errors)} if errors else {}),
        }


def _draw_line(label: str, found: Reliability) -> Line:
    bounds = [(p.observed.low, p.observed.high) for p in found.points]
    low, high = [low for low, _ in bounds if low is not None], [high for _, high in bounds if high is not None]
    band = (low, high) if len(low) == len(bounds) else None
    return Line(label, [p.predicted for p in found.points], [p.observed.value for p in found.points], band=band)


def find_calibration(evaluated: Evaluated) -> Calibration | None:
    """Judge the model's probabilities; None of a regression."""
    if TRAITS[evaluated.task].is_value:
        return None
    judge = partial(
        judge_probabilities,
        target=evaluated.target.numpy(),
        classes=evaluated.bundle.classes,
        blocks=evaluated.blocks,
        experiment=evaluated.experiment,
    )
    found = judge(evaluated.predictions[MODEL].numpy())
    fitted = evaluated.bundle.card.calibration
    if fitted is None:
        return found
    before = judge(compute_raw(evaluated.bundle, evaluated.test).numpy()).whole
    return replace(found, method=fitted.method, before=before)


def judge_probabilities(
    prediction: Array, *, target: Array, classes: Sequence[str], blocks: Blocks, experiment: Experiment
) -> Calibration:
    """The calibration of probabilities.

    Args:
        prediction: `[B]` of the positive class, or `[B, K]` of K classes or labels.
        target: `[B]` 0 or 1, or the class (-1: training never saw it); `[B, L]` 0 or 1 of L labels.
        classes: names of the K classes or labels; empty for two classes.
        blocks: of the rows.
        experiment: says how many bins and resamples.
    """
    chances, blocks = prediction.astype(np.float64), blocks.pool()
    if not classes:
        return Calibration(_judge(chances, target.astype(np.float64), blocks=blocks, experiment=experiment))
    has_labels = target.ndim > 1
    each = (target if has_labels else target[:, None] == np.arange(len(classes))).astype(np.float64)
    frequent = sorted(np.argsort(-each.sum(axis=0), kind="stable")[:MAX_CLASSES])
    errors = {
        classes[k]: _measure_error(chances[:, k], each[:, k], blocks=blocks, experiment=experiment) for k in frequent
    }
    if has_labels:
        pairs = blocks.repeat(len(classes))
        whole = _judge(chances.ravel(), each.ravel(), blocks=pairs, experiment=experiment)
        return Calibration(whole, errors, has_labels=True)
    hits = (chances.argmax(axis=1) == target).astype(np.float64)
    return Calibration(_judge(chances.max(axis=1), hits, blocks=blocks, experiment=experiment), errors)


def _judge(chances: Floats, hits: Floats, *, blocks: Blocks, experiment: Experiment) -> Reliability:
    """Of the chance `[B]` of an event, and whether it came `[B]`."""
    bins = _cut(chances, experiment.evaluation.calibration_bins)
    num = int(bins.max()) + 1
    sums = [CategorySums(bins, values, num=num, blocks=blocks) for values in (np.ones(len(hits)), chances, hits)]
    squares = blocks.sum((chances - hits) ** 2)

    def evaluate(draws: Draws) -> Floats:
        counts, predicted, observed = (part.evaluate(draws) for part in sums)
        return _decompose(counts, predicted, observed, draws.weights @ squares[:, 0])

    found = measure(evaluate, blocks=blocks, resampling=make_resampling(experiment), are_gaps=True)
    counts, means = np.bincount(bins, minlength=num), np.bincount(bins, weights=chances, minlength=num)
    points = [
        Point(float(total / count), observed, int(count))
        for count, total, observed in zip(counts, means, found[len(TERMS) :], strict=True)
    ]
    error = _measure_error(chances, hits, blocks=blocks, experiment=experiment)
    return Reliability(error, dict(zip(TERMS, found, strict=False)), points)


TERMS = ("reliability", "resolution", "uncertainty", "remainder")


def _decompose(counts: Floats, predicted: Floats, observed: Floats, squares: Floats) -> Floats:
    """`[R, 4 + bins]`: the terms of the Brier score (Murphy, 1973), and the observed share of each bin.

    The remainder is what probabilities differ within a bin, so that reliability - resolution + uncertainty + remainder
    is the Brier score (Stephenson and others, "Two extra components in the Brier score decomposition", 2008).

    Args:
        counts: `[R, bins]` rows.
        predicted: `[R, bins]` sums of the chances.
        observed: `[R, bins]` sums of the events.
        squares: `[R]` sum of the squared errors.
    """
    rows = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a bin, or a resample of few rows, may hold none
        rate = observed.sum(axis=1) / rows
        shares = observed / counts
        reliability = np.nansum((predicted - observed) ** 2 / counts, axis=1) / rows
        resolution = np.nansum(counts * (shares - rate[:, None]) ** 2, axis=1) / rows
        remainder = squares / rows - reliability + resolution - rate * (1 - rate)
    uncertainty = rate * (1 - rate)
    return np.column_stack([reliability, resolution, uncertainty, remainder, shares])


def _measure_error(chances: Floats, hits: Floats, *, blocks: Blocks, experiment: Experiment) -> Measured:
    error = CalibrationError(chances, target=hits, blocks=blocks, num_bins=experiment.evaluation.calibration_bins)
    resampling = make_resampling(experiment)
    (found,) = measure(
        lambda draws: error.evaluate(draws)[:, None], blocks=blocks, resampling=resampling, are_gaps=True
    )
    return found


def _cut(chances: Floats, num: int) -> Array:
    """`[B]` bin of each row: about equally many in each, equal chances in one."""
    edges = np.unique(np.quantile(chances, np.linspace(0, 1, num + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, chances, side="right"), return_inverse=True)[1]
