"""Every metric of a task from gathered predictions, by torchmetrics."""

from __future__ import annotations

from typing import Any

import torch
import torchmetrics.functional as tm
from torch import Tensor

from treadle.schema import METRICS, Task

EPSILON = 1e-7  # probabilities are kept this far from 0 and 1 in the log loss


def compute_metrics(*, task: Task, prediction: Tensor, target: Tensor, threshold: float) -> dict[str, float]:
    """Metrics by the names of `treadle.schema.METRICS`.

    Args:
        task: of the experiment.
        prediction: `[B]` probability of the positive class (binary) or value (regression); `[B, K]` (multiclass).
        target: `[B]`; 0 or 1, position of the class, or value.
        threshold: from which probability on a binary decision is positive.

    Returns:
        NaN where a metric is not defined for these rows (the AUC of one class only).
    """
    prediction = prediction.detach().cpu().double()
    if not len(target):
        return {metric.name: float("nan") for metric in METRICS[task]}
    if task == "regression":
        return _regression(prediction, target.cpu().double())
    if task == "multiclass":
        return _multiclass(prediction, target.cpu().long())
    return _binary(prediction, target.cpu().long(), threshold)


def _binary(probability: Tensor, target: Tensor, threshold: float) -> dict[str, float]:
    both = bool(target.any()) and not bool(target.all())
    clipped = probability.clamp(EPSILON, 1 - EPSILON)
    truth = target.double()
    values: dict[str, Any] = {
        "auroc": tm.auroc(probability, target, task="binary") if both else torch.nan,
        "average_precision": tm.average_precision(probability, target, task="binary") if both else torch.nan,
        "log_loss": torch.nn.functional.binary_cross_entropy(clipped, truth),
        "brier": tm.mean_squared_error(probability, truth),
        "calibration_error": tm.calibration_error(probability, target, task="binary", n_bins=15),
        "accuracy": tm.accuracy(probability, target, task="binary", threshold=threshold),
        "f1": tm.f1_score(probability, target, task="binary", threshold=threshold),
    }
    return {name: float(value) for name, value in values.items()}


def _multiclass(probability: Tensor, target: Tensor) -> dict[str, float]:
    num_classes = probability.shape[1]
    known = target >= 0  # a class that training never saw cannot be predicted: always wrong
    share = known.double().mean()
    hits = (probability.argmax(dim=1) == target).double()
    picked = probability.gather(1, target.clamp(min=0)[:, None])[:, 0] * known
    one_hot = torch.nn.functional.one_hot(target.clamp(min=0), num_classes) * known[:, None]
    brier = ((probability - one_hot) ** 2).sum(dim=1).mean() + (1 - share)
    f1 = tm.f1_score(probability[known], target[known], task="multiclass", num_classes=num_classes, average="macro")
    values = {
        "accuracy": hits.mean(),
        "log_loss": -picked.clamp(EPSILON, 1).log().mean(),
        "brier": brier,
        "f1": f1,
    }
    return {name: float(value) for name, value in values.items()}


def _regression(prediction: Tensor, target: Tensor) -> dict[str, float]:
    enough = len(target) > 1
    values = {
        "rmse": tm.mean_squared_error(prediction, target, squared=False),
        "mae": tm.mean_absolute_error(prediction, target),
        "r2": tm.r2_score(prediction, target) if enough else torch.nan,
    }
    return {name: float(value) for name, value in values.items()}
