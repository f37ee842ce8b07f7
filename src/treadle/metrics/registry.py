"""The names of metrics, whether higher is better, and the format of their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from treadle.experiment.spec import Experiment
from treadle.schema import Task

Threshold = float | Sequence[float]  # of a decision, inclusive; of several labels also one each
EPSILON = 1e-7  # probabilities are clipped to [EPSILON, 1 - EPSILON] in the log loss
SMALL, LARGE = 1e-3, 9999  # between them a metric's value has four decimals


@dataclass(frozen=True)
class Metric:
    """A metric's name in results and configuration, and whether higher is better."""

    name: str
    title: str
    higher_is_better: bool | None  # None: nobody has said it

    def find_best(self, values: Iterable[float | None]) -> float | None:
        """The best of the finite values; None if there is none, or nothing says which is better."""
        if self.higher_is_better is None:
            return None
        present = [value for value in values if value is not None and math.isfinite(value)]
        return (max if self.higher_is_better else min)(present, default=None)


def write_score(value: float | None) -> str:
    """A metric's value in few characters; `-` if it is undefined.

    >>> [write_score(value) for value in (0.25, 0.0, 1.23456e-7, 48012.345, None)]
    ['0.2500', '0.0000', '1.235e-07', '48012.3', '-']
    """
    if value is None or not math.isfinite(value):
        return "-"
    if 0 < abs(value) < SMALL:
        return f"{value:.4g}"
    return f"{value:.6g}" if abs(value) > LARGE else f"{value:.4f}"


# `loss` is what training minimizes: the mean of `loss.function`, weighted by row and class, on the standardized target.
LOSS = "loss"
_LOSS = Metric(LOSS, "Loss", higher_is_better=False)


METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": (
        Metric("auroc", "ROC AUC", higher_is_better=True),
        Metric("average_precision", "Average precision", higher_is_better=True),
        Metric("log_loss", "Log loss", higher_is_better=False),
        Metric("brier", "Brier score", higher_is_better=False),
        Metric("calibration_error", "Calibration error", higher_is_better=False),
        Metric("accuracy", "Accuracy", higher_is_better=True),
        Metric("f1", "F1", higher_is_better=True),
    ),
    "multiclass": (
        Metric("accuracy", "Accuracy", higher_is_better=True),
        Metric("log_loss", "Log loss", higher_is_better=False),
        Metric("brier", "Brier score", higher_is_better=False),
        Metric("f1", "Macro F1", higher_is_better=True),
    ),
    "multilabel": (
        Metric("auroc", "Macro ROC AUC", higher_is_better=True),
        Metric("auroc_micro", "Micro ROC AUC", higher_is_better=True),
        Metric("average_precision", "Macro average precision", higher_is_better=True),
        Metric("average_precision_micro", "Micro average precision", higher_is_better=True),
        Metric("log_loss", "Log loss", higher_is_better=False),
        Metric("brier", "Brier score", higher_is_better=False),
        Metric("f1", "Macro F1", higher_is_better=True),
        Metric("f1_micro", "Micro F1", higher_is_better=True),
        Metric("subset_accuracy", "Subset accuracy", higher_is_better=True),
        Metric("hamming_loss", "Hamming loss", higher_is_better=False),
    ),
    "regression": (
        Metric("rmse", "RMSE", higher_is_better=False),
        Metric("mae", "MAE", higher_is_better=False),
        Metric("r2", "R squared", higher_is_better=True),
    ),
    "count": (
        Metric("poisson_deviance", "Poisson deviance", higher_is_better=False),
        Metric("d2", "D squared", higher_is_better=True),
        Metric("mae", "MAE", higher_is_better=False),
        Metric("rmse", "RMSE", higher_is_better=False),
    ),
}


def list_metrics(experiment: Experiment) -> tuple[Metric, ...]:
    """Those of the task, and the experiment's own."""
    own = (
        Metric(name, name, higher_is_better=metric.direction == "max") for name, metric in experiment.metrics.items()
    )
    return (*METRICS[experiment.data.answer], *own)


def find_metric(experiment: Experiment, name: str) -> Metric | None:
    """The experiment's metric of that name, or None; `loss` is one of every experiment."""
    return next((metric for metric in (_LOSS, *list_metrics(experiment)) if metric.name == name), None)


def find_task_metric(task: Task, name: str) -> Metric | None:
    """The metric of that name for the task (`loss` fits every task), or None."""
    return next((metric for metric in (_LOSS, *METRICS[task]) if metric.name == name), None)


def monitor_names(experiment: Experiment) -> list[str]:
    """Every metric that training reports on the validation split."""
    return [_LOSS.name, *(metric.name for metric in list_metrics(experiment))]
