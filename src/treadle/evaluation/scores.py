"""The metrics of a task as functions of resampled blocks: made once of the rows, then evaluated in many resamples.

Each equals the metric of `treadle.metrics.compute` on the rows of the resample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from treadle.errors import TreadleError
from treadle.evaluation.resampling import Blocks, Counts, Draws, Floats, Ints
from treadle.metrics.deviance import compute_deviances
from treadle.metrics.own import Measure, compute_own
from treadle.metrics.registry import EPSILON, Threshold
from treadle.schema import Task
from treadle.tasks import TRAITS

Array = NDArray[Any]
GAPS = frozenset({"calibration_error"})  # metrics that noise alone raises
_PAIRED = 256  # blocks up to which the pairs between blocks are counted beforehand
_DENSE = 4  # numbers of a table of sums by block and category, for each row, up to which it pays


@dataclass(frozen=True)
class Scoring:
    """How predictions are judged."""

    task: Task
    threshold: Threshold  # of a binary decision, or of that about a label, inclusive
    num_bins: int  # of the calibration error
    own: Mapping[str, Measure] = field(default_factory=dict)  # metrics of the user's own that are resampled, too


class Statistic(Protocol):
    """A metric of one model's predictions."""

    def evaluate(self, draws: Draws) -> Floats:
        """`[R]` its value in each resample; NaN where it is not defined."""


def make_statistics(prediction: Array, *, target: Array, blocks: Blocks, scoring: Scoring) -> dict[str, Statistic]:
    """The metrics of the task by name, and those of the user's own; empty where there are no rows.

    Args:
        prediction: `[B]` probability of the positive class or value; `[B, K]` probabilities of K classes or labels.
        target: `[B]` 0 or 1, value, or index of the class (-1: not in the training split); `[B, L]` 0 or 1 of L labels.
        blocks: of the rows.
        scoring: task, threshold and bins.
    """
    if not len(target):
        return {}
    make = _MAKERS[scoring.task]
    own = {
        name: OfRows({name: measure}, prediction, target=target, blocks=blocks, task=scoring.task)
        for name, measure in scoring.own.items()
    }
    return {**dict(make(prediction, target, blocks, scoring)), **own}


class OfRows:
    """Any function of predictions and targets: of the rows of each resample, each as often as it is drawn.

    It is called once a resample, which takes `resamples` times as long as the metric itself.
    """

    def __init__(
        self, measure: Mapping[str, Measure], prediction: Array, *, target: Array, blocks: Blocks, task: Task
    ) -> None:
        self._measure, self._task, self._codes = measure, task, blocks.codes
        self._prediction, self._target = torch.from_numpy(prediction), torch.from_numpy(target)

    def evaluate(self, draws: Draws) -> Floats:
        """NaN where the function is not defined, or fails: for some resamples, such as those of one class, it may."""
        return np.array([self._evaluate_one(counts) for counts in draws.counts], dtype=np.float64)

    def _evaluate_one(self, counts: Counts) -> float:
        rows = torch.from_numpy(np.repeat(np.arange(len(self._codes)), counts[self._codes]))
        prediction, target = self._prediction[rows], self._target[rows]
        try:
            (value,) = compute_own(self._measure, task=self._task, prediction=prediction, target=target).values()
        except TreadleError:  # where it fails for all rows `compute_metrics` has said so before
            return math.nan
        return value


def compute_losses(prediction: Array, *, target: Array, task: Task) -> Floats:
    """`[B]` loss of each row: log loss, the squared error of a regression, or the Poisson deviance of a count.

    Of several labels the mean log loss over them.
    """
    traits = TRAITS[task]
    if traits.link == "log":
        return compute_deviances(prediction, target)
    if traits.is_value:
        errors: Floats = prediction.astype(np.float64) - target
        return errors**2
    chances = prediction.astype(np.float64)
    if traits.activation == "softmax":
        picked = np.take_along_axis(chances, target.astype(np.int64).clip(min=0)[:, None], axis=1)[:, 0]
        losses: Floats = -np.log(np.where(target.astype(np.int64) >= 0, picked, 0.0).clip(EPSILON, 1))
        return losses
    chances = chances.clip(EPSILON, 1 - EPSILON)
    each: Floats = -np.log(np.where(target.astype(bool), chances, 1 - chances))
    return each.mean(axis=1) if traits.has_classes else each


@dataclass(frozen=True)
class OfSums:
    """A function of sums over rows."""

    sums: Floats  # `[G, k]` by block
    finish: Callable[[Floats], Floats]  # from `[R, k]` to `[R]`

    def evaluate(self, draws: Draws) -> Floats:
        """Of the sums over the blocks that are drawn."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.finish(draws.weights @ self.sums)


def _mean(values: Array, blocks: Blocks) -> OfSums:
    return OfSums(blocks.sum(values, np.ones(len(values))), lambda sums: sums[:, 0] / sums[:, 1])


class CategorySums:
    """Sums of values by category, such as the bin of a calibration curve."""

    def __init__(self, categories: Ints, values: Array, *, num: int, blocks: Blocks) -> None:
        self._categories, self._values, self._codes, self._num = categories, values, blocks.codes, num
        self._table: Floats | None = None
        if blocks.count * num <= _DENSE * len(categories):
            cells = blocks.codes * num + categories
            sums: Floats = np.bincount(cells, weights=values, minlength=blocks.count * num).astype(np.float64)
            self._table = sums.reshape(blocks.count, num)

    def evaluate(self, draws: Draws) -> Floats:
        """`[R, num]`."""
        if self._table is not None:
            return draws.weights @ self._table
        weighted = np.take(draws.weights, self._codes, axis=1) * self._values
        return np.stack([np.bincount(self._categories, weights=row, minlength=self._num) for row in weighted])


class Auc:
    """The area under the ROC curve: the share of pairs of a positive and a negative row in the right order."""

    def __init__(self, score: Array, *, target: Array, blocks: Blocks) -> None:
        positive = target.astype(bool)
        order = np.argsort(score[~positive], kind="stable")
        negatives = score[~positive][order]
        self._below = np.searchsorted(negatives, score[positive], side="left")  # negatives below each positive
        self._up_to = np.searchsorted(negatives, score[positive], side="right")
        self._positives, self._negatives = blocks.codes[positive], blocks.codes[~positive][order]
        self._count = blocks.count

    def evaluate(self, draws: Draws) -> Floats:
        """Ties count one half; NaN with one class only."""
        pairs = self._count_by_block(draws) if self._count <= _PAIRED else self._count_by_rank(draws)
        positives, negatives = (draws.weights @ sizes for sizes in self._sizes)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = pairs / (positives * negatives)
        return ratio

    @cached_property
    def _sizes(self) -> tuple[Floats, Floats]:
        sizes = [np.bincount(codes, minlength=self._count) for codes in (self._positives, self._negatives)]
        return sizes[0].astype(np.float64), sizes[1].astype(np.float64)

    def _count_by_rank(self, draws: Draws) -> Floats:
        concordant = self._count_concordant(draws.take(self._negatives))
        return _multiply(concordant, np.take(draws.weights, self._positives, axis=1))

    def _count_by_block(self, draws: Draws) -> Floats:
        return _multiply(draws.weights @ self._pairs, draws.weights)

    @cached_property
    def _pairs(self) -> Floats:
        """`[G, G]` pairs in the right order, of positives of one block and negatives of another."""
        columns = []
        for block in range(self._count):
            concordant = self._count_concordant((self._negatives == block).astype(np.int32)[None])[0]
            columns.append(np.bincount(self._positives, weights=concordant, minlength=self._count))
        return np.stack(columns, axis=1)

    def _count_concordant(self, negatives: Counts) -> Floats:
        """`[R, P]` weight of the negatives `[R, N]` below each positive."""
        below = _accumulate(negatives)
        counted: Floats = (np.take(below, self._below, axis=1) + np.take(below, self._up_to, axis=1)) / 2
        return counted


class AveragePrecision:
    """The mean, over positive rows, of the precision at the row's score."""

    def __init__(self, score: Array, *, target: Array, blocks: Blocks) -> None:
        order = np.argsort(-score.astype(np.float64), kind="stable")
        positive = target.astype(bool)[order]
        falling = -score.astype(np.float64)[order]
        self._all, self._positives = blocks.codes[order], blocks.codes[order][positive]
        self._end_of_all = np.searchsorted(falling, falling[positive], side="right")
        self._end_of_positives = np.searchsorted(falling[positive], falling[positive], side="right")

    def evaluate(self, draws: Draws) -> Floats:
        """NaN with one class only."""
        weights = draws.take(self._positives)
        positives, everything = _accumulate(weights), _accumulate(draws.take(self._all))
        total = positives[:, -1].astype(np.float64)
        above = np.take(everything, self._end_of_all, axis=1)
        precision = np.take(positives, self._end_of_positives, axis=1) / np.maximum(above, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = _multiply(precision, weights.astype(np.float64)) / total
        return np.where(total < everything[:, -1], ratio, np.nan)


def _multiply(first: Floats, second: Floats) -> Floats:
    """`[R]` products of the rows of two matrices."""
    product: Floats = np.einsum("ij,ij->i", first, second)
    return product


def _accumulate(weights: Counts) -> Counts:
    """`[R, n + 1]` sums of the first 0 to n weights."""
    sums = np.zeros((len(weights), weights.shape[1] + 1), dtype=np.int32)
    np.cumsum(weights, axis=1, dtype=np.int32, out=sums[:, 1:])
    return sums


class CalibrationError:
    """The mean gap between predicted and observed shares over bins of equal width, weighted by their rows."""

    def __init__(self, probability: Floats, *, target: Array, blocks: Blocks, num_bins: int) -> None:
        bins = np.searchsorted(np.linspace(0, 1, num_bins + 1), probability, side="right") - 1
        gaps = probability - target
        self._gaps = CategorySums(bins, gaps, num=num_bins + 1, blocks=blocks)  # 1 has a bin of its own
        self._rows = blocks.sum(np.ones(len(target)))[:, 0]

    def evaluate(self, draws: Draws) -> Floats:
        """By the bins' sums."""
        with np.errstate(invalid="ignore"):  # a resample of few rows may hold none
            error: Floats = np.abs(self._gaps.evaluate(draws)).sum(axis=1) / (draws.weights @ self._rows)
        return error


class MacroF1:
    """The mean F1 of the classes that are present or predicted in the resample."""

    def __init__(self, decided: Ints, *, target: Ints, num_classes: int, blocks: Blocks) -> None:
        shifted, num = target + 1, num_classes + 1  # a class that training never saw is counted, and left out
        ones = np.ones(len(target))
        hits = (decided == target).astype(np.float64)
        self._hits, self._predicted, self._true = (
            CategorySums(categories, values, num=num, blocks=blocks)
            for categories, values in ((shifted, hits), (decided + 1, ones), (shifted, ones))
        )

    def evaluate(self, draws: Draws) -> Floats:
        """Of each resample by its own classes."""
        hits, predicted, true = (part.evaluate(draws)[:, 1:] for part in (self._hits, self._predicted, self._true))
        sizes = predicted + true
        scores = 2 * hits / np.maximum(sizes, 1)
        mean: Floats = scores.sum(axis=1) / np.maximum((sizes > 0).sum(axis=1), 1)
        return mean


def _make_binary(prediction: Array, target: Array, blocks: Blocks, scoring: Scoring) -> Iterator[tuple[str, Statistic]]:
    truth = target.astype(np.float64)
    # In the precision of the probabilities: 0.7 in float32 is below 0.7 in float64, and still equals the threshold.
    decided = (prediction >= prediction.dtype.type(scoring.threshold)).astype(np.float64)
    probability = prediction.astype(np.float64)
    yield "auroc", Auc(probability, target=target, blocks=blocks)
    yield "average_precision", AveragePrecision(probability, target=target, blocks=blocks)
    yield "log_loss", _mean(compute_losses(probability, target=target, task="binary"), blocks)
    yield "brier", _mean((probability - truth) ** 2, blocks)
    yield (
        "calibration_error",
        CalibrationError(probability, target=truth, blocks=blocks, num_bins=scoring.num_bins),
    )
    yield "accuracy", _mean(decided == truth, blocks)
    yield "f1", _compare_f1(decided * truth, decided + truth, blocks)


def _compare_f1(hits: Floats, sizes: Floats, blocks: Blocks) -> OfSums:
    """Of `[B]` true positives of each row, and `[B]` what is predicted and what is true, together."""
    return OfSums(blocks.sum(hits, sizes), lambda sums: 2 * sums[:, 0] / np.maximum(sums[:, 1], 1))


def _make_multiclass(
    prediction: Array, target: Array, blocks: Blocks, scoring: Scoring
) -> Iterator[tuple[str, Statistic]]:
    decided, truth = prediction.argmax(axis=1), target.astype(np.int64)
    probability, known = prediction.astype(np.float64), truth >= 0
    hits = np.zeros_like(probability)
    hits[known.nonzero()[0], truth[known]] = 1
    yield "accuracy", _mean(decided == truth, blocks)
    yield "log_loss", _mean(compute_losses(probability, target=truth, task=scoring.task), blocks)
    yield "brier", _mean(((probability - hits) ** 2).sum(axis=1) + ~known, blocks)
    yield "f1", MacroF1(decided, target=truth, num_classes=prediction.shape[1], blocks=blocks)


@dataclass(frozen=True)
class MeanOf:
    """The mean of several metrics; one that is not defined in a resample is left out of it there."""

    parts: Sequence[Statistic]

    def evaluate(self, draws: Draws) -> Floats:
        """NaN where none is defined."""
        values = np.stack([part.evaluate(draws) for part in self.parts])
        defined = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            mean: Floats = np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0)
        return mean


def _make_multilabel(
    prediction: Array, target: Array, blocks: Blocks, scoring: Scoring
) -> Iterator[tuple[str, Statistic]]:
    truth, count = target.astype(np.float64), target.shape[1]
    decided = (prediction >= np.asarray(scoring.threshold, dtype=prediction.dtype)).astype(np.float64)
    probability, is_right = prediction.astype(np.float64), decided == truth
    pairs = blocks.repeat(count)
    for name, kind in (("auroc", Auc), ("average_precision", AveragePrecision)):
        yield name, MeanOf([kind(probability[:, k], target=target[:, k], blocks=blocks) for k in range(count)])
        yield f"{name}_micro", kind(probability.ravel(), target=target.ravel(), blocks=pairs)
    yield "log_loss", _mean(compute_losses(probability, target=target, task=scoring.task), blocks)
    yield "brier", _mean(((probability - truth) ** 2).mean(axis=1), blocks)
    hits, sizes = decided * truth, decided + truth
    yield "f1", MeanOf([_compare_f1(hits[:, k], sizes[:, k], blocks) for k in range(count)])
    yield "f1_micro", _compare_f1(hits.sum(axis=1), sizes.sum(axis=1), blocks)
    yield "subset_accuracy", _mean(is_right.all(axis=1), blocks)
    yield "hamming_loss", _mean(1 - is_right.mean(axis=1), blocks)


def _make_regression(
    prediction: Array,
    target: Array,
    blocks: Blocks,
    scoring: Scoring,  # noqa: ARG001 - as for the other tasks
) -> Iterator[tuple[str, Statistic]]:
    errors = prediction.astype(np.float64) - target
    deviations = target.astype(np.float64) - target.astype(np.float64).mean()
    ones = np.ones(len(errors))
    yield "rmse", OfSums(blocks.sum(errors**2, ones), lambda sums: np.sqrt(sums[:, 0] / sums[:, 1]))
    yield "mae", _mean(np.abs(errors), blocks)
    yield "r2", OfSums(blocks.sum(errors**2, deviations, deviations**2, ones), _finish_r2)


def _make_count(
    prediction: Array,
    target: Array,
    blocks: Blocks,
    scoring: Scoring,
) -> Iterator[tuple[str, Statistic]]:
    counts, ones = target.astype(np.float64), np.ones(len(target))
    deviances = compute_deviances(prediction, target)
    sizes = counts * np.log(np.where(counts > 0, counts, 1.0))
    errors = dict(_make_regression(prediction, target, blocks, scoring))
    yield "poisson_deviance", _mean(deviances, blocks)
    yield "d2", OfSums(blocks.sum(deviances, sizes, counts, ones), _finish_d2)
    yield "mae", errors["mae"]
    yield "rmse", errors["rmse"]


def _finish_d2(sums: Floats) -> Floats:
    deviances, sizes, counts, rows = sums.T
    prior = 2 * (sizes - counts * np.log(counts / rows))  # of the mean count
    value: Floats = np.where(prior > 0, 1 - deviances / prior, np.nan)
    return value


def _finish_r2(sums: Floats) -> Floats:
    errors, deviations, squares, rows = sums.T
    spread = squares - deviations**2 / rows
    value: Floats = np.where(spread > 0, 1 - errors / spread, np.nan)
    return value


_MAKERS: Mapping[Task, Callable[[Array, Array, Blocks, Scoring], Iterator[tuple[str, Statistic]]]] = {
    "binary": _make_binary,
    "multiclass": _make_multiclass,
    "multilabel": _make_multilabel,
    "regression": _make_regression,
    "count": _make_count,
}
