"""The gate of a learner of the user's own: by a metric that its test has logged, else by its best epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import LearnerExperiment
from treadle.metrics.judge import find_judge, get_monitor
from treadle.metrics.registry import Metric, write_score


@dataclass(frozen=True)
class Logged:
    """A logged metric of two learners: a number of each, and so no interval."""

    metric: Metric
    own: float
    champion: float

    @property
    def gain(self) -> float:
        """Positive where the challenger is better."""
        return (self.own - self.champion) * (1.0 if self.metric.higher_is_better else -1.0)

    @property
    def is_better(self) -> bool:
        """By its number."""
        return self.gain > 0

    @property
    def relation(self) -> str:
        """To the champion, in words."""
        return f"{'better than' if self.gain > 0 else 'worse than' if self.gain < 0 else 'as good as'} the champion"

    def describe(self) -> str:
        """The numbers: `val/acc 0.9312, the champion's 0.9250 (a number of each run, without an interval)`."""
        own, champion = write_score(self.own), write_score(self.champion)
        return f"{self.metric.title} {own}, the champion's {champion} (a number of each run, without an interval)"

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"metric": self.metric.name, "gain": {"value": self.gain}, "better": self.is_better}


def compare_logged(run: Path, champion: Path, *, experiment: LearnerExperiment) -> Logged:
    """Compare by the first metric of `fit.metrics` that both tests have logged, else by `fit.monitor`.

    Raises:
        TreadleError: the champion was not evaluated here, was tested on other data, or shares no metric.
    """
    other = RunFolder(champion).resolved
    if not other.is_file():
        raise TreadleError(f"{champion} is a bundle without its run: the metrics that it logged are not known here")
    theirs = read(other).experiment
    if not isinstance(theirs, LearnerExperiment):
        raise TreadleError(f"{champion} is no learner of your own, and {run} is: they cannot be compared")
    if (theirs.datamodule, theirs.depends) != (experiment.datamodule, experiment.depends):
        raise TreadleError(
            f"{champion} had other data than {run}: their metrics cannot be compared; compare runs of the same "
            "datamodule and `depends`, or give the experiment another name"
        )
    for read_metrics, names in ((_read_tested, list(experiment.fit.metrics)), (_read_best, [get_monitor(experiment)])):
        own, before = (read_metrics(RunFolder(folder)) for folder in (run, champion))
        for name in names:
            metric = find_judge(experiment, name)
            if metric is not None and own.get(name) is not None and before.get(name) is not None:
                return Logged(metric, own[name], before[name])
    raise TreadleError(f"{run} and {champion} share no metric of fit.metrics, and not fit.monitor: evaluate them again")


def _read_tested(folder: RunFolder) -> Mapping[str, float]:
    """What the test has logged."""
    return _read(folder.metrics, "model")


def _read_best(folder: RunFolder) -> Mapping[str, float]:
    """What the best epoch has logged."""
    return _read(folder.validation, "valid")


def _read(file: Path, key: str) -> Mapping[str, float]:
    if not file.is_file():
        return {}
    found: Mapping[str, float] = json.loads(file.read_text(encoding="utf-8"))[key]
    return found
