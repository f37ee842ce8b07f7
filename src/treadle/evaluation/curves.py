"""Curves of a verdict as small tables: what DVC, W&B and the report draw."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_precision_recall_curve, binary_roc

from treadle.schema import Task

Row = dict[str, float]
MAX_POINTS = 200  # of a drawn curve


@dataclass(frozen=True)
class Curve:
    """Points of one picture, `x` against `y`."""

    name: str  # of the file, without its end
    title: str
    x: str
    y: str
    rows: Sequence[Row]

    def write(self, folder: Path) -> None:
        """Write the points as CSV."""
        with (folder / f"{self.name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]) if self.rows else [self.x, self.y])
            writer.writeheader()
            writer.writerows(self.rows)


# What can be drawn: name of the file, title, x, y.
KINDS = {
    "roc": ("ROC", "false_positive_rate", "true_positive_rate"),
    "precision_recall": ("Precision and recall", "recall", "precision"),
    "calibration": ("Calibration", "predicted", "observed"),
}


def read_curves(folder: Path) -> list[Curve]:
    """The curves that `Curve.write` left in a folder."""
    curves = []
    for name, (title, x, y) in KINDS.items():
        file = folder / f"{name}.csv"
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as stream:
                rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
            curves.append(Curve(name, title, x, y, rows))
    return curves


def _make(name: str, rows: Sequence[Row]) -> Curve:
    title, x, y = KINDS[name]
    return Curve(name, title, x, y, rows)


def draw_curves(*, task: Task, prediction: Tensor, target: Tensor, num_bins: int) -> list[Curve]:
    """The curves of a task. A multiclass task is drawn for its most frequent class against the others.

    Args:
        task: of the experiment.
        prediction: `[B]`, or `[B, K]`.
        target: `[B]`.
        num_bins: of the calibration curve.
    """
    prediction = prediction.double()
    if task == "regression":
        return [_make("calibration", _bin_means(prediction, target.double(), num_bins))]
    if task == "multiclass":
        common = int(target[target >= 0].bincount().argmax())
        prediction, target = prediction[:, common], (target == common)
    target = target.long()
    if target.all() or not target.any():
        return []
    false_rate, true_rate, _ = binary_roc(prediction, target)
    precision, recall, _ = binary_precision_recall_curve(prediction, target)
    return [
        _make("roc", _thin("roc", false_rate, true_rate)),
        _make("precision_recall", _thin("precision_recall", recall.flip(0), precision.flip(0))),
        _make("calibration", _bin_means(prediction, target.double(), num_bins)),
    ]


def _thin(name: str, x: Tensor, y: Tensor) -> list[Row]:
    """Points at even distances of x, ends included."""
    _, x_name, y_name = KINDS[name]
    wanted = torch.linspace(float(x[0]), float(x[-1]), MAX_POINTS, dtype=x.dtype)
    index = torch.searchsorted(x.contiguous(), wanted).clamp(max=len(x) - 1)
    index = torch.cat([torch.tensor([0]), index, torch.tensor([len(x) - 1])]).unique()
    return [{x_name: round(float(x[i]), 6), y_name: round(float(y[i]), 6)} for i in index]


def _bin_means(prediction: Tensor, target: Tensor, num_bins: int) -> list[Row]:
    """Mean prediction against the observed mean, in bins of equal numbers of rows."""
    order = prediction.argsort(stable=True).numpy()
    parts = [part for part in np.array_split(order, num_bins) if len(part)]
    means = ((float(prediction[part].mean()), float(target[part].mean()), len(part)) for part in parts)
    return [{"predicted": round(p, 6), "observed": round(t, 6), "rows": float(n)} for p, t, n in means]
