"""The metrics that judge a training, whatever it trains: those of a task, or those that a learner logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from treadle.experiment.kinds import get_kind
from treadle.experiment.spec import AnyExperiment, LearnerExperiment
from treadle.metrics.registry import Metric, find_metric, find_task_metric, list_metrics, monitor_names
from treadle.schema import DataTask
from treadle.tasks import get_answer


def get_monitor(experiment: AnyExperiment) -> str:
    """The metric by which the best epoch is kept."""
    return experiment.fit.monitor if isinstance(experiment, LearnerExperiment) else experiment.schedule.monitor


def find_judge(experiment: AnyExperiment, name: str) -> Metric | None:
    """The metric of that name on the validation split; None where there is none, or nothing says which value is better.

    A training reports it in the column that `name_column` gives.
    """
    if isinstance(experiment, LearnerExperiment):
        mode = _list_modes(experiment).get(name)
        return None if mode is None else _make_metric(name, mode)
    return find_metric(experiment, name)


def find_monitor(experiment: AnyExperiment) -> Metric:
    """The metric by which the best epoch is kept."""
    found = find_judge(experiment, get_monitor(experiment))
    assert found is not None, "the check has verified it"
    return found


def read_monitor(leaves: Mapping[str, Any]) -> Metric | None:
    """The same of the leaves of a resolved.yaml, which may be damaged: None then."""
    if get_kind(leaves) == "learner":
        name, mode = leaves.get("fit.monitor"), leaves.get("fit.mode")
        return None if name is None else _make_metric(name, str(mode))
    task, name = leaves.get("data.task"), leaves.get("schedule.monitor")
    if task is None or name is None:
        return None
    direction = leaves.get(f"metrics.{name}.direction")
    if direction is not None:
        return _make_metric(name, direction)
    return find_task_metric(get_answer(cast("DataTask", task)), name)


def list_judges(experiment: AnyExperiment) -> list[str]:
    """The names of all."""
    if isinstance(experiment, LearnerExperiment):
        return list(_list_modes(experiment))
    return monitor_names(experiment)


def describe(experiment: AnyExperiment) -> str:
    """What an experiment is about, for a message."""
    if isinstance(experiment, LearnerExperiment):
        return "this learner: fit.monitor and fit.metrics name them"
    return f"a {experiment.data.task} task"


def name_column(experiment: AnyExperiment, name: str) -> str:
    """Its column in metrics.csv: a learner's own names say the split."""
    return name if isinstance(experiment, LearnerExperiment) else f"valid/{name}"


def list_tested(experiment: AnyExperiment, found: Iterable[str]) -> list[Metric]:
    """The metrics of the test split: those of the task, or those that a learner's test has logged.

    Args:
        experiment: that was evaluated.
        found: the names in its metrics.json.
    """
    if isinstance(experiment, LearnerExperiment):
        modes = _list_modes(experiment)
        return [_make_metric(name, modes.get(name)) for name in found]
    return list(list_metrics(experiment))


def get_primary(experiment: AnyExperiment) -> str:
    """The test metric that is shown first; of a learner the first that its test logs."""
    return "" if isinstance(experiment, LearnerExperiment) else experiment.evaluation.metric


def _list_modes(experiment: LearnerExperiment) -> dict[str, str]:
    fit = experiment.fit
    return {fit.monitor: fit.mode, **fit.metrics}


def _make_metric(name: str, mode: str | None) -> Metric:
    return Metric(name, name, higher_is_better=None if mode is None else mode == "max")
