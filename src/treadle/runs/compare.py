"""Compare runs: how their configurations differ, and which is best by the monitored metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treadle.experiment.spec import AnyExperiment, LearnerExperiment
from treadle.metrics.judge import find_monitor, get_primary, list_tested, name_column
from treadle.metrics.registry import Metric
from treadle.metrics.table import Scores, write_scores
from treadle.runs.labels import list_differences, write_labels
from treadle.runs.read import Finished


@dataclass(frozen=True)
class Ranked:
    """A run and its rank among others."""

    run: Finished
    label: str  # its values that differ from the others'
    score: float | None  # the monitored validation metric, of the epoch that was kept


@dataclass(frozen=True)
class Comparison:
    """Runs in order, the best first."""

    runs: list[Ranked]
    monitor: Metric  # on the validation split: the runs are sorted by it
    metrics: list[Metric]  # on the test split, the experiment's chosen one first
    differences: dict[str, list[Any]]  # key: the value of each run, in their order; None where a run has no such key

    @property
    def comparable(self) -> bool:
        """Whether the metrics of the test split can be compared: two runs or more, all on the same data."""
        data = [_get_data(ranked.run.experiment) for ranked in self.runs]
        return len(data) > 1 and all(one == data[0] for one in data)

    def write_monitor(self) -> Scores:
        """The monitored metric of each run; the order shows which is best."""
        prefix = "" if isinstance(self.runs[0].run.experiment, LearnerExperiment) else "valid "
        return write_scores(self.monitor, (each.score for each in self.runs), mark_best=False, prefix=prefix)

    def write_metrics(self) -> list[Scores]:
        """Each test metric of each run."""
        return [
            write_scores(metric, (each.run.metrics.get(metric.name) for each in self.runs), mark_best=self.comparable)
            for metric in self.metrics
        ]


def compare_runs(runs: Sequence[Finished]) -> Comparison:
    """Label the runs, and sort them by the validation metric that the first of them monitored.

    A run of another task, which has no such metric, comes last. Test metrics do not affect the order: a model that is
    selected by them has no unbiased estimate left.
    """
    monitor = find_monitor(runs[0].experiment)
    sign = -1 if monitor.higher_is_better else 1
    labels = write_labels([run.values for run in runs])
    scored = [
        Ranked(run, label, run.best_epoch.get(name_column(run.experiment, monitor.name)))
        for run, label in zip(runs, labels, strict=True)
    ]
    ranked = sorted(scored, key=lambda each: (each.score is None, sign * (each.score or 0.0)))
    return Comparison(ranked, monitor, _list_metrics(runs), list_differences([each.run.values for each in ranked]))


def _list_metrics(runs: Sequence[Finished]) -> list[Metric]:
    found = list(dict.fromkeys(metric for run in runs for metric in list_tested(run.experiment, run.metrics)))
    first = get_primary(runs[0].experiment)
    return sorted(found, key=lambda metric: metric.name != first)


def _get_data(experiment: AnyExperiment) -> Any:
    """What tells whether two runs were tested on the same rows."""
    if isinstance(experiment, LearnerExperiment):
        return (experiment.datamodule, experiment.depends)
    return experiment.data
