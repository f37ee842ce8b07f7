"""The words that everybody shares: tasks, metrics, splits, errors, and the batch a model sees."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

Task = Literal["binary", "multiclass", "regression"]
Split = Literal["train", "valid", "test"]
Sampling = Literal["shuffle", "balanced"]  # every row once an epoch; each class as often as any other
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
BINARY_CLASSES = ("negative", "positive")  # of a binary task, by target: 0 and 1

LABEL = "label"  # column of an examples table that holds the target
WEIGHT = "weight"  # column that holds the sample weight, where one is declared
PREDICT_AT = "predict_at"  # column that holds the moment of the prediction
KNOWN_AT = "known_at"  # column of a table with a known time; null: the row never becomes known
ROW = "row"  # position of the example in its source table: the key that ties rows to predictions


SMALL, LARGE = 1e-3, 9999  # between them a metric's value is written with four decimals

# Limits of arguments, for the signatures of components; `treadle check` holds them.
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]  # what NumPy, torch and LightGBM all take
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class TreadleError(ValueError):
    """A mistake that the user can mend. Its text states the rule, the value, the place and the fix."""


@dataclass(frozen=True)
class Metric:
    """A metric's name in results and configuration, and which way is better."""

    name: str
    title: str
    higher_is_better: bool

    def find_best(self, values: Iterable[float | None]) -> float | None:
        """The best of the values that are numbers; None where there is none."""
        present = [value for value in values if value is not None and math.isfinite(value)]
        return (max if self.higher_is_better else min)(present, default=None)


def write_score(value: float | None) -> str:
    """A metric's value in few characters; `-` where it is not defined.

    >>> [write_score(value) for value in (0.25, 0.0, 1.23456e-7, 48012.345, None)]
    ['0.2500', '0.0000', '1.235e-07', '48012.3', '-']
    """
    if value is None or not math.isfinite(value):
        return "-"
    if 0 < abs(value) < SMALL:
        return f"{value:.4g}"
    return f"{value:.6g}" if abs(value) > LARGE else f"{value:.4f}"


# `loss` is what training minimises: the mean of `loss.function`, by weight and class; its unit is standardised.
_LOSS = Metric("loss", "Loss", higher_is_better=False)
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
    "regression": (
        Metric("rmse", "RMSE", higher_is_better=False),
        Metric("mae", "MAE", higher_is_better=False),
        Metric("r2", "R squared", higher_is_better=True),
    ),
}


Link = Literal["identity", "log"]  # from a regression's prediction to the output of its network


def find_metric(*, task: Task, name: str) -> Metric | None:
    """The metric of that name for the task (`loss` fits every task), or None."""
    return next((m for m in (_LOSS, *METRICS[task]) if m.name == name), None)


def monitor_names(task: Task) -> list[str]:
    """Every value that training reports on the validation split."""
    return [_LOSS.name, *(m.name for m in METRICS[task])]


class Batch(NamedTuple):
    """What a training step sees. B rows, N numeric inputs, C categorical inputs."""

    numeric: Tensor  # [B, N] float32, finite
    ids: Tensor  # [B, C] int64; 0 is "unknown"
    target: (
        Tensor  # [B] float32 (binary, regression; float64 as it is stored, before it is scaled) or int64 (multiclass)
    )
    weight: Tensor  # [B] float32


@runtime_checkable
class FitsInputs(Protocol):
    """A network that learns something of the training rows before the first step, and keeps it in its state."""

    def fit_inputs(self, numeric: Tensor) -> None:
        """Learn from the numbers `[M, N]` of the training rows."""
