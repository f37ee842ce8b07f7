"""Every metric of a task from all predictions, by torchmetrics."""

from __future__ import annotations

import math
from typing import Any

import torch
import torchmetrics.functional as tm
from torch import Tensor

from treadle.metrics.decisions import decide
from treadle.metrics.deviance import compute_deviances
from treadle.metrics.registry import EPSILON, METRICS, Threshold
from treadle.schema import Task


def compute_metrics(
    *, task: Task, prediction: Tensor, target: Tensor, threshold: Threshold, num_bins: int
) -> dict[str, float]:
    """Metrics by the names of `treadle.metrics.registry.METRICS`, as scikit-learn defines them.

    Args:
        task: of the experiment.
        prediction: `[B]` probability of the positive class (binary), value or mean count; `[B, K]` of classes, labels.
        target: `[B]`; 0 or 1, index of the class (-1: not in the training split), or value; `[B, L]` of L labels.
        threshold: a binary decision, or that about a label, is positive from this probability on, inclusive.
        num_bins: bins of equal width for the calibration error.

    Returns:
        NaN for a metric that is undefined for these rows (AUC with a single class), and for all metrics if a prediction
        is not finite.
    """
    prediction, target = prediction.detach().cpu(), target.cpu()
    if not len(target) or not prediction.isfinite().all():
        return {metric.name: float("nan") for metric in METRICS[task]}
    if task == "regression":
        return _regression(prediction.double(), target.double())
    if task == "count":
        return _count(prediction.double(), target.double())
    if task == "multiclass":
        return _multiclass(prediction, target.long())
    if task == "multilabel":
        return _multilabel(prediction, target.long(), threshold=threshold)
    return _binary(prediction, target.long(), threshold=threshold, num_bins=num_bins)


def _binary(probability: Tensor, target: Tensor, *, threshold: Threshold, num_bins: int) -> dict[str, float]:
    decided = decide(probability, threshold)
    both = bool(target.any()) and not bool(target.all())
    probability, truth = probability.double(), target.double()
    clipped = probability.clamp(EPSILON, 1 - EPSILON)
    values: dict[str, Any] = {
        "auroc": tm.auroc(probability, target, task="binary") if both else torch.nan,
        "average_precision": tm.average_precision(probability, target, task="binary") if both else torch.nan,
        "log_loss": torch.nn.functional.binary_cross_entropy(clipped, truth),
        "brier": (probability - truth).square().mean(),
        "calibration_error": tm.calibration_error(probability, target, task="binary", n_bins=num_bins),
        "accuracy": (decided == target).double().mean(),
        "f1": _f1(decided, target, 1),
    }
    return {name: float(value) for name, value in values.items()}


def _multilabel(probability: Tensor, target: Tensor, *, threshold: Threshold) -> dict[str, float]:
    """Macro: the mean over the labels of which both values are there. Micro: of all pairs of a row and a label.

    The F1 of a label that is neither there nor predicted is 0, as in scikit-learn.
    """
    decided, probability, labels = decide(probability, threshold), probability.double(), range(target.shape[1])
    mixed = [k for k in labels if target[:, k].any() and not target[:, k].all()]
    pairs, truths = probability.flatten(), target.flatten()
    both = bool(truths.any()) and not bool(truths.all())
    clipped = probability.clamp(EPSILON, 1 - EPSILON)

    def average(measure: Any) -> Any:
        scores = [float(measure(probability[:, k], target[:, k], task="binary")) for k in mixed]
        return sum(scores) / len(scores) if scores else torch.nan

    values: dict[str, Any] = {
        "auroc": average(tm.auroc),
        "auroc_micro": tm.auroc(pairs, truths, task="binary") if both else torch.nan,
        "average_precision": average(tm.average_precision),
        "average_precision_micro": tm.average_precision(pairs, truths, task="binary") if both else torch.nan,
        "log_loss": torch.nn.functional.binary_cross_entropy(clipped, target.double()),
        "brier": (probability - target).square().mean(),
        "f1": sum(_f1(decided[:, k], target[:, k], 1) for k in labels) / len(labels),
        "f1_micro": _f1(decided, target, 1),
        "subset_accuracy": (decided == target).all(dim=1).double().mean(),
        "hamming_loss": (decided != target).double().mean(),
    }
    return {name: float(value) for name, value in values.items()}


def _multiclass(probability: Tensor, target: Tensor) -> dict[str, float]:
    """A class that is not in the training split cannot be predicted: its rows are always wrong."""
    decided, probability = probability.argmax(dim=1), probability.double()
    known = target >= 0
    picked = probability.gather(1, target.clamp(min=0)[:, None])[:, 0] * known
    one_hot = torch.nn.functional.one_hot(target.clamp(min=0), probability.shape[1]) * known[:, None]
    met = [c for c in range(probability.shape[1]) if (decided == c).any() or (target == c).any()]
    values: dict[str, Any] = {
        "accuracy": (decided == target).double().mean(),
        "log_loss": -picked.clamp(EPSILON, 1).log().mean(),
        "brier": (probability - one_hot).square().sum(dim=1).mean() + (~known).double().mean(),
        "f1": sum(_f1(decided, target, c) for c in met) / len(met),
    }
    return {name: float(value) for name, value in values.items()}


def _f1(decided: Tensor, target: Tensor, label: int) -> float:
    """F1 of one class; 0 if it is neither present nor predicted."""
    predicted, true = decided == label, target == label
    return 2 * int((predicted & true).sum()) / max(1, int(predicted.sum()) + int(true.sum()))


def _regression(prediction: Tensor, target: Tensor) -> dict[str, float]:
    error = (prediction - target).square()
    if target.min() == target.max():  # R2 is 1 or 0
        unexplained = (error.sum() > 0).double()
    else:
        unexplained = error.sum() / (target - target.mean()).square().sum()
    values = {
        "rmse": error.mean().sqrt(),
        "mae": (prediction - target).abs().mean(),
        "r2": 1 - unexplained if len(target) > 1 else torch.nan,
    }
    return {name: float(value) for name, value in values.items()}


def _count(prediction: Tensor, target: Tensor) -> dict[str, float]:
    """Deviances as in scikit-learn's `mean_poisson_deviance` and `d2_tweedie_score`."""
    mean = target.mean().expand(len(target))
    deviance, unexplained = (float(compute_deviances(of.numpy(), target.numpy()).mean()) for of in (prediction, mean))
    explained = 1 - deviance / unexplained if unexplained > 0 else float(deviance == 0)
    errors = _regression(prediction, target)
    return {
        "poisson_deviance": deviance,
        "d2": explained if len(target) > 1 else math.nan,
        "mae": errors["mae"],
        "rmse": errors["rmse"],
    }
