"""Metrics of the user's own: built from their targets, and computed beside those of the task."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor
from torchmetrics import Metric

from treadle.errors import TreadleError
from treadle.experiment.spec import Experiment
from treadle.schema import Task
from treadle.targets.build import bind
from treadle.targets.injected import PREDICTION, TARGET, list_allowed
from treadle.tasks import TRAITS

Measure = Callable[[Tensor, Tensor], Any]  # (prediction, target) -> one number


def build_metrics(experiment: Experiment) -> dict[str, Measure]:
    """The experiment's own metrics, by name."""
    measures: dict[str, Measure] = {}
    for name, metric in experiment.metrics.items():
        key = f"metrics.{name}.function"
        made = bind(metric.function, key=key, targets=list_allowed(key, experiment.targets))
        measures[name] = _build_instance(made) if inspect.isclass(made.func) else partial(_call, made)
    return measures


def _build_instance(made: partial[Any]) -> Measure:
    with warnings.catch_warnings():  # it would hold all predictions, as the caller does in any case
        warnings.filterwarnings("ignore", message="Metric `.*` will save all", category=UserWarning)
        instance: Any = made()
    return partial(_update, instance) if isinstance(instance, Metric) else instance


def _update(metric: Metric, prediction: Tensor, target: Tensor) -> Any:
    """Of all rows at once; processes have gathered them before."""
    metric.sync_on_compute = False
    metric.reset()
    metric.update(prediction, target)
    return metric.compute()


def _call(function: partial[Any], prediction: Tensor, target: Tensor) -> Any:
    """By name: torchmetrics has the prediction first, scikit-learn the target."""
    takes = inspect.signature(function.func).parameters
    names = {next((name for name in names if name in takes), names[0]): v for names, v in _pair(prediction, target)}
    return function(**names)


def _pair(prediction: Tensor, target: Tensor) -> tuple[tuple[tuple[str, ...], Tensor], ...]:
    return (PREDICTION, prediction), (TARGET, target)


def compute_own(measures: Mapping[str, Measure], *, task: Task, prediction: Tensor, target: Tensor) -> dict[str, float]:
    """Each metric of these predictions, as `compute_metrics` takes them.

    Rows of a class that is not in the training split (target -1) are left out: nothing could predict it.

    Returns:
        NaN for all metrics if a prediction is not finite, or there is no row.

    Raises:
        TreadleError: a metric fails, or gives something else than one number.
    """
    prediction, target = prediction.detach().cpu(), target.cpu()
    if not TRAITS[task].is_value:
        target = target.long()
        prediction, target = prediction[target >= 0], target[target >= 0]
    if not len(target) or not prediction.isfinite().all():
        return dict.fromkeys(measures, float("nan"))
    return {name: _compute(name, measure, prediction, target) for name, measure in measures.items()}


def _compute(name: str, measure: Measure, prediction: Tensor, target: Tensor) -> float:
    key = f"metrics.{name}.function"
    try:
        value = measure(prediction, target)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise TreadleError(
            f"{key}: failed for predictions {tuple(prediction.shape)} and targets {tuple(target.shape)}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TreadleError(f"{key}: must give one number, found {type(value).__name__}: {value!r:.80}") from error
