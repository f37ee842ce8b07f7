"""Curves of an evaluation as small tables: what DVC, W&B and the report draw."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_precision_recall_curve, binary_roc

from treadle.evaluation.kinds import KINDS, Kind
from treadle.schema import Task
from treadle.tasks import TRAITS

Row = Mapping[str, float]
MAX_POINTS = 200  # of a drawn curve
MAX_CLASSES = 8  # with a curve of their own: the most frequent ones
_CLASS = "class"  # column of a file with curves of several classes
_BY_CLASS = "_by_class"  # end of that file's name


@dataclass(frozen=True)
class Curve:
    """The points of one kind of curve.

    A multiclass task has one over all classes, each against the rest, and one for each of its most frequent classes; so
    have several labels.
    """

    name: str  # of the kind, and of the file
    rows: Sequence[Row]
    by_class: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    pooled: str | None = None  # what is taken together in it, in words; None: the rows alone

    @property
    def kind(self) -> Kind:
        """What it shows."""
        return KINDS[self.name]

    def write(self, folder: Path) -> None:
        """Write the points as CSV: `roc.csv`, and `roc_by_class.csv` where there are several classes."""
        columns = list(self.rows[0]) if self.rows else [self.kind.x, self.kind.y]
        _write_table(folder / f"{self.name}.csv", columns, self.rows)
        if self.by_class:
            rows = [{_CLASS: name, **row} for name, points in self.by_class.items() for row in points]
            _write_table(folder / f"{self.name}{_BY_CLASS}.csv", [_CLASS, *columns], rows)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)


def read_curves(folder: Path) -> list[Curve]:
    """The curves that `Curve.write` left in a folder."""
    return [
        Curve(name, list(_read_points(folder / f"{name}.csv"))) for name in KINDS if (folder / f"{name}.csv").is_file()
    ]


def _read_points(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield {key: float(value) for key, value in row.items()}


def compute_curves(
    *, task: Task, prediction: Tensor, target: Tensor, num_bins: int, classes: Sequence[str] = ()
) -> list[Curve]:
    """The curves of a task; none where they are not defined: one class only, or the same prediction for every row.

    A multiclass curve pools the decisions for each class against the rest (the micro-average of scikit-learn's
    `roc_auc_score`); a row whose class training never saw is against every class.

    Args:
        task: of the experiment.
        prediction: `[B]`, or `[B, K]`.
        target: `[B]`, or `[B, L]` of L labels.
        num_bins: of the calibration curve.
        classes: names of the K classes or labels, where each is to have a curve of its own.
    """
    prediction = prediction.double()
    if prediction.dim() == 1:
        return _compute(task, prediction, target, num_bins)
    hits = target > 0 if task == "multilabel" else target[:, None] == torch.arange(prediction.shape[1])
    pooled = _compute("binary", prediction.flatten(), hits.flatten(), num_bins)
    frequent = hits.sum(dim=0).argsort(descending=True, stable=True)[:MAX_CLASSES].sort().values.tolist()
    alone = {classes[k]: _compute("binary", prediction[:, k], hits[:, k], num_bins) for k in frequent if classes}
    words = "all pairs of a row and a label" if task == "multilabel" else "each class against the rest"
    return [
        Curve(curve.name, curve.rows, {name: found[index].rows for name, found in alone.items() if found}, words)
        for index, curve in enumerate(pooled)
    ]


def _compute(task: Task, prediction: Tensor, target: Tensor, num_bins: int) -> list[Curve]:
    """Calibration alone for a regression; all three kinds for two classes."""
    if prediction.numel() == 0 or (prediction == prediction[0]).all():
        return []
    means = _bin_means(prediction, target.double(), num_bins)
    if TRAITS[task].is_value:
        return [Curve("calibration", means)]  # with all digits: its unit may be of any size, or far from its origin
    target = target.long()
    if target.all() or not target.any():
        return []
    false_rate, true_rate, _ = binary_roc(prediction, target)
    precision, recall, _ = binary_precision_recall_curve(prediction, target)
    return [
        Curve("roc", _thin("roc", false_rate, true_rate)),
        Curve("precision_recall", _thin("precision_recall", recall.flip(0), precision.flip(0))),
        Curve("calibration", [{name: round(value, 6) for name, value in row.items()} for row in means]),
    ]


def count_confusions(prediction: Tensor, target: Tensor) -> Tensor:
    """Rows by class and predicted class, `[K, K]`; a row whose class training never saw is left out.

    Args:
        prediction: `[B, K]` probabilities.
        target: `[B]` position of the class, -1 for one that training never saw.
    """
    num_classes = prediction.shape[1]
    known = target >= 0
    cells = target[known] * num_classes + prediction[known].argmax(dim=1)
    return cells.bincount(minlength=num_classes**2).reshape(num_classes, num_classes)


def write_confusions(counts: Tensor, classes: Sequence[str], path: Path) -> None:
    """A CSV with the columns `actual`, `predicted` and `rows`; pairs without rows are left out."""
    pairs = [(int(a), int(p)) for a, p in counts.nonzero().tolist()]
    rows = [{"actual": classes[a], "predicted": classes[p], "rows": int(counts[a, p])} for a, p in pairs]
    _write_table(path, ["actual", "predicted", "rows"], rows)


def _thin(name: str, x: Tensor, y: Tensor) -> list[Row]:
    """Points at even distances of x, ends included; all of them where they are few."""
    kind = KINDS[name]
    if len(x) <= MAX_POINTS:
        return [{kind.x: round(float(a), 6), kind.y: round(float(b), 6)} for a, b in zip(x, y, strict=True)]
    wanted = torch.linspace(float(x[0]), float(x[-1]), MAX_POINTS, dtype=x.dtype)
    index = torch.searchsorted(x.contiguous(), wanted).clamp(max=len(x) - 1)
    index = torch.cat([torch.tensor([0]), index, torch.tensor([len(x) - 1])]).unique()
    return [{kind.x: round(float(x[i]), 6), kind.y: round(float(y[i]), 6)} for i in index]


def _bin_means(prediction: Tensor, target: Tensor, num_bins: int) -> list[Row]:
    """Mean prediction against the observed mean, in bins of about equally many rows; equal predictions share one."""
    order = np.lexsort((target.numpy(), prediction.numpy()))  # in whatever order the rows came
    ordered = prediction.numpy()[order]
    starts = [part[0] for part in np.array_split(np.arange(len(order)), num_bins) if len(part)]
    first = np.unique(
        np.searchsorted(ordered, ordered[starts])
    )  # of the rows that are predicted like the start of a bin
    parts = np.split(order, first[1:])
    means = ((float(prediction[part].mean()), float(target[part].mean()), len(part)) for part in parts)
    return [{"predicted": p, "observed": t, "rows": float(n)} for p, t, n in means]
