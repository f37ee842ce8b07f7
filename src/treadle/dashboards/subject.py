"""What a dashboard shows, as far as the declaration tells: no run has to exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError
from treadle.evaluation.kinds import KINDS
from treadle.experiment.spec import AnyExperiment, Experiment, WandbTracker
from treadle.metrics.judge import find_judge, get_monitor, list_judges, list_tested, name_column
from treadle.metrics.registry import Metric, list_metrics, write_score
from treadle.sweeps.answer import rank
from treadle.sweeps.axes import Axis, Choices
from treadle.sweeps.ledger import Ledger
from treadle.sweeps.sweep import Sweep
from treadle.tasks import TRAITS

FOLDER = "dashboards"  # of a project: which view of the server shows an experiment
_SHOWN = 10  # settings of an answer
CURVES = ("calibration", *(name for name in KINDS if name != "calibration"))  # the others exist for classes alone


@dataclass(frozen=True)
class Swept:
    """A swept key, as W&B's configuration names it."""

    title: str  # the key
    key: str  # where its value is recorded
    is_log: bool  # whether its values are spread over orders of magnitude


@dataclass(frozen=True)
class Subject:
    """A sweep or an experiment, as its dashboard needs to know it."""

    name: str
    question: str | None
    project: str
    entity: str | None  # None: the account's default
    curves: tuple[str, ...]  # columns of each epoch, that of the objective first
    objective: Metric
    tested: tuple[Metric, ...]  # on the test split, of the model and of each baseline
    kinds: tuple[str, ...]  # of the curves of the test split
    baselines: tuple[str, ...]
    has_system_metrics: bool
    place: Path  # where the names of its views on the server are kept
    is_sweep: bool
    swept: tuple[Swept, ...] = ()
    facts: tuple[str, ...] = ()  # how it was made, a line each
    answer: str = ""  # of a sweep so far, in Markdown

    @property
    def swept_keys(self) -> list[str]:
        """Where the swept values are recorded."""
        return [axis.key for axis in self.swept]

    @property
    def best(self) -> str:
        """Where the objective of the epoch that was kept stands in a run's summary."""
        return f"best/{self.objective.name}"


def describe_experiment(experiment: AnyExperiment, *, root: Path) -> Subject:
    """All runs of an experiment, whatever else differs between them.

    Raises:
        TreadleError: it has another tracker.
    """
    return _describe(
        experiment,
        name=experiment.name,
        objective=get_monitor(experiment),
        place=root / FOLDER / f"{experiment.name}.json",
        is_sweep=False,
        facts=("all runs whose configuration has this name",),
    )


def describe_sweep(sweep: Sweep) -> Subject:
    """The trials of a sweep.

    Raises:
        ConfigError: its experiment is not valid any more.
        TreadleError: it has another tracker.
    """
    experiment = sweep.space.check(next(sweep.space.list_corners()), seed=sweep.seeds[0])
    settings = sweep.settings
    facts = [f"varies {', '.join(axis.key.lstrip('+') for axis in sweep.space.axes) or 'the seed alone'}"]
    facts += [f"{sweep.count_settings()} settings at most, by {settings.sampler}; pruner: {settings.pruner}"]
    facts += [f"seeds {', '.join(map(str, sweep.seeds))}: a line is the mean over them, its band their range"]
    if settings.confirm is not None:
        facts += [f"the best {settings.confirm.top} again on {settings.confirm.seeds} fresh seeds (job type `confirm`)"]
    facts += [f"`treadle compare sweeps/{sweep.name}` ranks the settings, with ties"]
    return _describe(
        experiment,
        name=sweep.name,
        objective=sweep.objectives[0].name,
        place=sweep.folder / "dashboard.json",
        is_sweep=True,
        swept=tuple(_describe_axis(axis, sweep.space.groups) for axis in sweep.space.axes),
        facts=tuple(facts),
        answer=_write_answer(sweep),
    )


def _describe(
    experiment: AnyExperiment,
    *,
    name: str,
    objective: str,
    place: Path,
    is_sweep: bool,
    facts: tuple[str, ...],
    swept: tuple[Swept, ...] = (),
    answer: str = "",
) -> Subject:
    metric = find_judge(experiment, objective)
    assert metric is not None, "the check has verified it"
    tracker = experiment.tracker
    if not isinstance(tracker, WandbTracker):
        raise TreadleError(
            f"tracker.by: dashboards show records of W&B, and the tracker is {tracker.by!r}; add tracker=offline or "
            "tracker=online"
        )
    return Subject(
        name=name,
        question=experiment.question,
        project=tracker.project,
        entity=tracker.entity,
        curves=tuple(dict.fromkeys([name_column(experiment, objective), *_list_curves(experiment)])),
        objective=metric,
        **_list_tested(experiment),
        has_system_metrics=tracker.system_metrics,
        place=place,
        is_sweep=is_sweep,
        swept=swept,
        facts=facts,
        answer=answer,
    )


def _list_curves(experiment: AnyExperiment) -> list[str]:
    """The columns of each epoch: of a table the loss of training and the learning rate, then the metrics."""
    names = [name_column(experiment, name) for name in list_judges(experiment)]
    return ["train/loss", "lr", *names] if isinstance(experiment, Experiment) else names


def _list_tested(experiment: AnyExperiment) -> dict[str, Any]:
    """What is drawn of the test split: of a learner the metrics that it names, as far as its test logs them."""
    if not isinstance(experiment, Experiment):
        return {"tested": tuple(list_tested(experiment, experiment.fit.metrics)), "baselines": (), "kinds": ()}
    kinds = CURVES[:1] if TRAITS[experiment.data.answer].is_value else CURVES
    return {
        "tested": tuple(list_metrics(experiment)),
        "baselines": tuple(experiment.evaluation.baselines),
        "kinds": kinds,
    }


def _write_answer(sweep: Sweep) -> str:
    """The best settings as a table in Markdown; empty where none is finished."""
    trials = list(Ledger(sweep.folder, is_driven=False).trials.values())
    rows = rank(trials, higher_is_better=sweep.objectives[0].higher_is_better)[:_SHOWN]
    if not rows:
        return ""
    titles = ["", sweep.objectives[0].column, "spread", "n", *(axis.key for axis in sweep.space.axes)]
    table = [titles, ["---"] * len(titles)]
    for place, row in enumerate(rows, start=1):
        values = [row.setting.get(axis.key, "-") for axis in sweep.space.axes]
        table.append(["=" if row.is_tied else str(place), write_score(row.mean), write_score(row.spread)])
        table[-1] += [str(len(row.scores)), *values]
    note = "`=`: within the noise of seeds of the first one."
    return "\n".join([*(f"| {' | '.join(row)} |" for row in table), "", note])


def _describe_axis(axis: Axis, groups: Sequence[str]) -> Swept:
    """A group's section replaces the name of its option in the configuration, which `sweep.options` keeps."""
    key = axis.key.lstrip("+")
    is_log = not isinstance(axis, Choices) and axis.is_log
    return Swept(key, f"sweep.options.{key}" if axis.key in groups else key, is_log)
