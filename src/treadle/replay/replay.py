"""Make a replay: train the models, predict what came after each, and ask the policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from treadle.check.checks import check
from treadle.check.resolve import freeze
from treadle.config.compose import compose
from treadle.errors import TreadleError
from treadle.experiment.spec import Experiment, Replay, TimeSplit
from treadle.pipeline import run
from treadle.pipeline.locks import Notify
from treadle.replay import FOLDER
from treadle.replay.answer import Answer, Review
from treadle.replay.matrix import Plan, declare_matrix, make_plan, match_trials, require_fitting
from treadle.replay.predictions import predict_all
from treadle.replay.trained import Trained, measure_hours, train_warm
from treadle.sweeps.drive import run_sweep
from treadle.sweeps.ledger import BAD
from treadle.sweeps.plan import Tell
from treadle.sweeps.sweep import Sweep


@dataclass(frozen=True)
class Declared:
    """A replay that is about to be made."""

    experiment: Experiment
    settings: Replay
    plan: Plan
    sweep: Sweep
    overrides: Sequence[str]

    @property
    def folder(self) -> Path:
        """Where its predictions and its answer are."""
        return self.sweep.root / FOLDER / self.sweep.name


def declare(overrides: Sequence[str], *, root: Path, notify: Notify) -> Declared:
    """Compose and check it as a whole; the examples are prepared, since the blocks follow from their times.

    Raises:
        ConfigError: with every problem at once.
        TreadleError: the rows hold too few blocks.
    """
    given = list(overrides)
    composed = compose(overrides=given, root=root)
    if "replay" not in composed.values:  # a project whose conf/config.yaml is older than the group
        given.append("+replay=monthly")
        composed = compose(overrides=given, root=root)
    experiment, settings = require_fitting(check(composed))
    assert isinstance(experiment.data.split, TimeSplit), "required"
    resolved = freeze(experiment, question=composed.question)
    examples = run(resolved, root=root, upto="prepare", notify=notify, keeps_unsplit=True).folder
    plan = make_plan(settings, experiment.data.split, examples=examples)
    return Declared(experiment, settings, plan, declare_matrix(plan, settings, given, root=root), given)


def make(declared: Declared, *, tell: Tell, notify: Notify) -> Answer:
    """Train what is not trained yet, and answer.

    Args:
        declared: what is replayed.
        tell: takes each change to a model of the sweep.
        notify: prints a line for each of the models that follow it.

    Raises:
        KeyboardInterrupt: the user stopped it; the same command goes on.
        TreadleError: a model could not be trained.
    """
    drive = run_sweep(declared.sweep, root=declared.sweep.root, tell=tell)
    if drive.stops:
        raise KeyboardInterrupt
    failed = [trial for trial in drive.ledger.trials.values() if trial.state in BAD]
    if failed:
        raise TreadleError(
            f"{len(failed)} of {len(drive.ledger.trials)} models could not be trained, the first: {failed[0].error}; "
            f"`treadle resume {declared.sweep.folder} --retry` tries again"
        )
    root, trials = declared.sweep.root, match_trials(declared.plan, drive.ledger.trials)
    models = train_warm(
        declared.plan,
        {origin: Trained.of_trial(trial, root=root) for origin, trial in trials.items()},
        settings=declared.settings,
        overrides=declared.overrides,
        root=root,
        log=declared.folder / "log.txt",
        notify=notify,
    )
    predictions = predict_all(
        declared.plan, models, experiment=declared.experiment, folder=declared.folder / "predictions"
    )
    runs = {origin: model.folder for origin, model in models.items()}
    hours = measure_hours(models, costs=declared.settings.cost.training_hour)
    return Review(declared.plan, predictions, declared.experiment, declared.settings, hours, runs).answer()
