"""Labels that are suspect: rows of the test split that the model contradicts, though it never saw them.

Classes by confident learning (Northcutt and others, "Confident learning: estimating uncertainty in dataset labels",
2021): a row belongs confidently to the class whose probability is at least what it is on average on the rows of that
class. Numbers by their error, in robust deviations. A suspect is a question, not a mistake: where the columns do not
determine the label, chance makes most of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from treadle.evaluation.intervals import Array
from treadle.evaluation.resampling import Floats, Ints
from treadle.schema import BINARY_CLASSES, Task
from treadle.tasks import TRAITS

_OUTLYING = 6.0  # robust deviations of the error of a regression
_ROBUST = 1.4826  # from the median absolute deviation to the standard deviation of normal errors
_NONE = -1  # of a row that belongs to no class confidently


@dataclass(frozen=True)
class Suspect:
    """A row whose label the model contradicts."""

    position: int  # in the test split, from 0
    label: str
    suggested: str
    strength: float  # by how much the suggested class is more probable; of a regression, robust deviations


@dataclass(frozen=True)
class LabelNoise:
    """The suspect labels of a split."""

    rows: int
    count: int  # of all suspects
    share: float  # of labels that are wrong, as estimated from the confident classes; of a regression, of suspects
    suspects: Sequence[Suspect]  # the strongest ones

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "suspects": [asdict(one) for one in self.suspects]}


def find_label_noise(
    prediction: Array, *, target: Array, task: Task, classes: Sequence[str], count: int
) -> LabelNoise | None:
    """The suspects of rows that the model was not trained on; None where there is one class or value only.

    Args:
        prediction: `[B]`, or `[B, K]` for K classes or labels.
        target: `[B]` value, or class; -1 for one that training never saw; `[B, L]` 0 or 1 of L labels.
        task: of the experiment.
        classes: of a multiclass task, or the names of several labels.
        count: most suspects that are listed.
    """
    if task == "multilabel":
        each = [_find_of_label(prediction, target, place, name, count) for place, name in enumerate(classes)]
        return _join(each, count)
    if TRAITS[task].is_value:
        return _find_outlying(prediction.astype(np.float64), target.astype(np.float64), task, count)
    chances = prediction.astype(np.float64)
    if task == "binary":
        chances = np.stack([1 - chances, chances], axis=1)
    labels = target.astype(np.int64)
    return _find_contradicted(chances, labels, list(classes) or list(BINARY_CLASSES), count)


def _find_of_label(prediction: Array, target: Array, place: int, name: str, count: int) -> LabelNoise | None:
    """Of one of several labels."""
    chances = prediction[:, place].astype(np.float64)
    names = [f"not {name}", name]
    return _find_contradicted(np.stack([1 - chances, chances], axis=1), target[:, place].astype(np.int64), names, count)


def _join(each: Sequence[LabelNoise | None], count: int) -> LabelNoise | None:
    """Of all labels of a row: the strongest suspects, and the share among all pairs of a row and a label."""
    found = [one for one in each if one is not None]
    if not found:
        return None
    suspects = sorted((one for noise in found for one in noise.suspects), key=lambda one: -one.strength)
    share = sum(noise.share for noise in found) / len(found)
    return LabelNoise(found[0].rows, sum(noise.count for noise in found), share, suspects[:count])


def _find_contradicted(chances: Floats, labels: Ints, names: Sequence[str], count: int) -> LabelNoise | None:
    known = np.flatnonzero(labels >= 0)
    chances, labels = chances[known], labels[known]
    if len(np.unique(labels)) < 2:  # noqa: PLR2004 - nothing to be confused with
        return None
    confident = _find_confident(chances, labels)
    places = np.flatnonzero((confident != labels) & (confident != _NONE))
    margins = chances[places, confident[places]] - chances[places, labels[places]]
    strongest = places[np.argsort(-margins, kind="stable")[:count]]
    suspects = [
        Suspect(
            int(known[place]),
            names[labels[place]],
            names[confident[place]],
            float(chances[place, confident[place]] - chances[place, labels[place]]),
        )
        for place in strongest
    ]
    share = _estimate_share(confident, labels, len(names))
    return LabelNoise(len(labels), len(places), share, suspects)


def _find_confident(chances: Floats, labels: Ints) -> Ints:
    """`[B]` class to which each row belongs confidently, or `_NONE`."""
    num_classes = chances.shape[1]
    counts = np.bincount(labels, minlength=num_classes)
    own = np.bincount(labels, weights=chances[np.arange(len(labels)), labels], minlength=num_classes)
    thresholds = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    reached = np.where(chances >= thresholds, chances, -np.inf)
    return np.where(np.isfinite(reached).any(axis=1), reached.argmax(axis=1), _NONE)


def _estimate_share(confident: Ints, labels: Ints, num_classes: int) -> float:
    """Of labels that differ from the true class: the confident joint, scaled to the number of labels of each class."""
    sure = confident != _NONE
    cells = labels[sure] * num_classes + confident[sure]
    joint = np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.float64)
    counts = np.bincount(labels, minlength=num_classes)
    scaled = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1) * counts[:, None]
    total = scaled.sum()
    return float(1 - np.trace(scaled) / total) if total > 0 else 0.0


def _find_outlying(prediction: Floats, target: Floats, task: Task, count: int) -> LabelNoise | None:
    errors = _stabilise(target) - _stabilise(prediction) if task == "count" else target - prediction
    centered = errors - np.median(errors)
    spread = _ROBUST * float(np.median(np.abs(centered)))
    if not spread > 0:
        return None
    deviations = np.abs(centered) / spread
    places = np.flatnonzero(deviations > _OUTLYING)
    strongest = places[np.argsort(-deviations[places], kind="stable")[:count]]
    suspects = [
        Suspect(int(place), f"{target[place]:.6g}", f"{prediction[place]:.6g}", float(deviations[place]))
        for place in strongest
    ]
    return LabelNoise(len(target), len(places), len(places) / len(target), suspects)


def _stabilise(counts: Floats) -> Floats:
    """Counts on a scale where their spread does not grow with their mean (Anscombe, Biometrika 35, 1948)."""
    stable: Floats = 2 * np.sqrt(counts + 3 / 8)
    return stable
