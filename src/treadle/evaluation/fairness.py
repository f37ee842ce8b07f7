"""Fairness: rates of the model's decisions by group, with their differences and ratios between groups.

A rate is a ratio of two sums over rows, so that a resample costs one product of matrices. The terms are those of
Barocas, Hardt and Narayanan, "Fairness and Machine Learning" (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from treadle.evaluation.comparison import make_resampling
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.intervals import Estimate, Measured, to_plain
from treadle.evaluation.resampling import Draws, Floats, draw, find_bounds
from treadle.evaluation.scores import compute_losses
from treadle.evaluation.worst_slices import Mask, cut_columns
from treadle.pages.charts import Line, draw_chart
from treadle.tasks import TRAITS, Activation

_BINS = 10  # of a calibration curve, with as many rows each, of all groups together


class Measure(NamedTuple):
    """What is compared between groups."""

    title: str
    signed: bool = False  # it may be below 0, and has no ratio
    headline: bool = True  # its largest difference is among the numbers that are compared between runs


MEASURES: dict[Activation, dict[str, Measure]] = {
    "sigmoid": {  # of several labels: of all pairs of a row and a label
        "positive_rate": Measure("observed positive share", headline=False),
        "selection_rate": Measure("selection rate"),
        "true_positive_rate": Measure("true positive rate"),
        "false_positive_rate": Measure("false positive rate"),
        "precision": Measure("precision", headline=False),
        "accuracy": Measure("accuracy", headline=False),
        "calibration_gap": Measure("predicted less observed share", signed=True),
    },
    "softmax": {
        "accuracy": Measure("accuracy"),
        "log_loss": Measure("log loss", headline=False),
        "calibration_gap": Measure("confidence less accuracy", signed=True),
    },
    "identity": {
        "mean_target": Measure("mean of the target", signed=True, headline=False),
        "mean_error": Measure("mean of predicted less observed", signed=True),
        "mae": Measure("mean absolute error"),
    },
}


@dataclass(frozen=True)
class Group:
    """The rows of one value, or one range, of a column."""

    name: str
    rows: int
    values: Mapping[str, float]  # by measure; NaN where one is not defined, such as a precision of no selected row
    estimates: Mapping[str, Estimate | None]  # the same with intervals; None where there is none
    curve: Sequence[tuple[float, float]]  # of a binary task, by bin: mean predicted and observed share

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        curve = [{"predicted": predicted, "observed": observed} for predicted, observed in self.curve]
        return {"rows": self.rows, **to_plain(self.estimates), "curve": curve}


@dataclass(frozen=True)
class Gap:
    """How far the groups lie apart by one measure: the highest and the lowest of them."""

    measure: str
    title: str
    highest: str  # a group
    lowest: str
    difference: float  # the highest less the lowest
    bounds: Estimate | None  # the same with its interval, in pairs
    ratio: Measured | None  # the lowest by the highest; None for a measure that may be below 0, or where all are 0

    def describe(self, column: str, values: Sequence[float]) -> str:
        """Such as `false positive rate by race: African-American 0.290, Caucasian 0.150, difference 0.140 (…)`."""
        span = "" if self.bounds is None else f" ({self.bounds.low:.3f} to {self.bounds.high:.3f})"
        high, low = values
        return (
            f"{self.title} by {column}: {self.highest} {high:.3f}, {self.lowest} {low:.3f}, "
            f"difference {self.difference:.3f}{span}"
        )

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "highest": self.highest,
            "lowest": self.lowest,
            "value": self.difference,
            "difference": None if self.bounds is None else self.bounds.to_plain(),
            "ratio": None if self.ratio is None else self.ratio.to_plain(),
        }


@dataclass(frozen=True)
class Grouping:
    """One protected column: its groups, and how far they lie apart."""

    column: str
    groups: Mapping[str, Group]
    gaps: Mapping[str, Gap]  # by measure; none for fewer than two groups in which it is defined
    small: Mapping[str, int]  # rows of groups that are too small to be compared

    def draw(self) -> str:
        """The calibration curve of each group, as SVG; empty where a task has none."""
        lines = [
            Line(group.name, [p for p, _ in group.curve], [o for _, o in group.curve])
            for group in self.groups.values()
            if group.curve
        ]
        title = f"Calibration by {self.column}"
        return draw_chart(title=title, x="predicted", y="observed", lines=lines, diagonal=True) if lines else ""


@dataclass(frozen=True)
class FairnessFindings:
    """What was found of each protected column."""

    measures: Mapping[str, Measure]
    groupings: Sequence[Grouping]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            one.column: {
                "groups": {name: group.to_plain() for name, group in one.groups.items()},
                "gaps": {name: gap.to_plain() for name, gap in one.gaps.items()},
                "small": dict(one.small),
            }
            for one in self.groupings
        }

    def to_numbers(self) -> dict[str, float]:
        """The largest difference by column and measure."""
        return {
            f"{one.column}/{name}": one.gaps[name].difference if name in one.gaps else float("nan")
            for one in self.groupings
            for name, measure in self.measures.items()
            if measure.headline
        }


def find_fairness(evaluated: Evaluated) -> FairnessFindings | None:
    """Compare the groups of `evaluation.fairness`; None if it is null."""
    settings = evaluated.experiment.evaluation.fairness
    if settings is None:
        return None
    parts = cut_columns(evaluated.read_columns(settings.columns))
    masks = {part.name: {text: part.codes == code for code, text in enumerate(part.texts)} for part in parts}
    large = [
        (column, text, mask)
        for column, found in masks.items()
        for text, mask in found.items()
        if mask.sum() >= settings.min_rows
    ]
    sampled = dict(zip([(column, text) for column, text, _ in large], _sample(large, evaluated), strict=True))
    groupings = [
        _compare(
            column,
            [group for (of, _), group in sampled.items() if of == column],
            evaluated=evaluated,
            small={text: size for text, mask in found.items() if 0 < (size := int(mask.sum())) < settings.min_rows},
        )
        for column, found in masks.items()
    ]
    return FairnessFindings(_list_measures(evaluated), groupings)


def _list_measures(evaluated: Evaluated) -> Mapping[str, Measure]:
    return MEASURES[TRAITS[evaluated.task].activation]


@dataclass(frozen=True)
class _Sampled:
    """The measures of one group, on all rows and in each resample."""

    name: str
    mask: Mask  # `[B]` its rows
    whole: Floats  # `[k]`
    drawn: Floats  # `[R, k]`
    num_blocks: int

    def estimate(self, place: int, *, coverage: float) -> Estimate | None:
        """One measure with its interval."""
        value = float(self.whole[place])
        return _estimate(value, self.drawn[:, place], coverage=coverage, num_blocks=self.num_blocks)


def _sample(groups: Sequence[tuple[str, str, Mask]], evaluated: Evaluated) -> list[_Sampled]:
    """All groups in the same resamples."""
    if not groups:
        return []
    blocks, resampling = evaluated.blocks, make_resampling(evaluated.experiment)
    summed, finish = _prepare(evaluated)
    sums = blocks.sum(*(column * mask for _, _, mask in groups for column in summed))

    def evaluate(draws: Draws) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = draws.multiply(sums).reshape(-1, len(groups), len(summed))
            return np.stack(finish(*np.moveaxis(found, 2, 0)), axis=2)

    once = np.ones((1, blocks.count))
    whole = evaluate(Draws(once.astype(np.int32), once))[0]
    drawn = np.concatenate([evaluate(d) for d in draw(blocks, resamples=resampling.resamples, seed=resampling.seed)])
    return [
        _Sampled(text, mask, whole[place], drawn[:, place], len(np.unique(blocks.codes[mask])))
        for place, (_, text, mask) in enumerate(groups)
    ]


def _prepare(evaluated: Evaluated) -> tuple[list[Floats], Callable[..., list[Floats]]]:
    """What is summed over rows, a few columns `[B]`, and each measure of the task as a function of their sums."""
    prediction, target = evaluated.predictions[MODEL].numpy(), evaluated.target.numpy()
    truth, ones = target.astype(np.float64), np.ones(len(target))
    activation = TRAITS[evaluated.task].activation
    if activation == "sigmoid":
        decided = (prediction >= np.asarray(evaluated.threshold, dtype=prediction.dtype)).astype(
            np.float64
        )  # as in `scores`
        pairs = [np.ones_like(truth), truth, decided, decided * truth, prediction.astype(np.float64)]
        return [column.reshape(len(target), -1).sum(axis=1) for column in pairs], _finish_binary
    if activation == "softmax":
        losses = compute_losses(prediction, target=target, task=evaluated.task)
        hits = (prediction.argmax(axis=1) == target).astype(np.float64)
        return [ones, hits, losses, prediction.max(axis=1).astype(np.float64)], _finish_multiclass
    return [ones, truth, prediction.astype(np.float64), np.abs(prediction - truth)], _finish_regression


def _finish_binary(rows: Floats, truth: Floats, decided: Floats, hits: Floats, predicted: Floats) -> list[Floats]:
    return [
        truth / rows,
        decided / rows,
        hits / truth,
        (decided - hits) / (rows - truth),
        hits / decided,
        (rows - truth - decided + 2 * hits) / rows,
        (predicted - truth) / rows,
    ]


def _finish_multiclass(rows: Floats, hits: Floats, losses: Floats, confidence: Floats) -> list[Floats]:
    return [hits / rows, losses / rows, (confidence - hits) / rows]


def _finish_regression(rows: Floats, truth: Floats, predicted: Floats, distance: Floats) -> list[Floats]:
    return [truth / rows, (predicted - truth) / rows, distance / rows]


def _compare(column: str, sampled: Sequence[_Sampled], *, evaluated: Evaluated, small: Mapping[str, int]) -> Grouping:
    """The groups of one column."""
    measures, coverage = _list_measures(evaluated), make_resampling(evaluated.experiment).coverage
    groups = {
        one.name: Group(
            one.name,
            int(one.mask.sum()),
            {name: float(value) for name, value in zip(measures, one.whole, strict=True)},
            {name: one.estimate(place, coverage=coverage) for place, name in enumerate(measures)},
            curve,
        )
        for one, curve in zip(sampled, _make_curves(evaluated, [one.mask for one in sampled]), strict=True)
    }
    gaps = {name: _find_gap(sampled, place, evaluated=evaluated) for place, name in enumerate(measures)}
    return Grouping(column, groups, {name: gap for name, gap in gaps.items() if gap is not None}, small)


def _estimate(value: float, samples: Floats, *, coverage: float, num_blocks: int) -> Estimate | None:
    bounds = find_bounds(samples, coverage=coverage, num_blocks=num_blocks) if np.isfinite(value) else None
    return None if bounds is None else Estimate(value, *bounds)


def _find_gap(groups: Sequence[_Sampled], place: int, *, evaluated: Evaluated) -> Gap | None:
    """Between the highest and the lowest of the groups in which the measure is defined; None for fewer than two."""
    name, measure = list(_list_measures(evaluated).items())[place]
    defined = sorted((one for one in groups if np.isfinite(one.whole[place])), key=lambda one: -float(one.whole[place]))
    if len(defined) < 2:  # noqa: PLR2004 - a pair
        return None
    coverage = make_resampling(evaluated.experiment).coverage
    highest, lowest = defined[0], defined[-1]
    num_blocks = min(highest.num_blocks, lowest.num_blocks)
    high, low = float(highest.whole[place]), float(lowest.whole[place])
    above, below = highest.drawn[:, place], lowest.drawn[:, place]
    ratio = None
    if not measure.signed and high > 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            shares: Floats = below / above
        span = find_bounds(shares, coverage=coverage, num_blocks=num_blocks)
        ratio = Measured(low / high, *(span or (None, None)))
    bounds = _estimate(high - low, above - below, coverage=coverage, num_blocks=num_blocks)
    return Gap(name, measure.title, highest.name, lowest.name, high - low, bounds, ratio)


def _make_curves(evaluated: Evaluated, masks: Sequence[Mask]) -> list[list[tuple[float, float]]]:
    """Of each group the mean predicted and the observed share, by bins of the predictions of all groups together."""
    if evaluated.task != "binary":
        return [[] for _ in masks]
    prediction, target = evaluated.predictions[MODEL].numpy().astype(np.float64), evaluated.target.numpy()
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, prediction, side="right")
    curves = []
    for mask in masks:
        rows, predicted, observed = (
            np.bincount(bins[mask], weights=weights, minlength=len(edges) + 1)
            for weights in (None, prediction[mask], target[mask])
        )
        filled = rows > 0
        means = [(sums[filled] / rows[filled]).tolist() for sums in (predicted, observed)]
        curves.append(list(zip(*means, strict=True)))
    return curves
