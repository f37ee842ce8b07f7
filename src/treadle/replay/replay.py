"""Make a replay: train the models, predict what came after each, and ask the policies."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from treadle.check.checks import check
from treadle.check.resolve import freeze
from treadle.config.compose import compose
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.spec import Experiment, Replay, TimeSplit
from treadle.pipeline import run
from treadle.replay import FOLDER
from treadle.replay.answer import Answer, Review
from treadle.replay.matrix import Origin, Plan, declare_matrix, make_plan, match_trials, require_fitting
from treadle.replay.predictions import predict_all
from treadle.sweeps.declare import Sweep
from treadle.sweeps.drive import run_sweep
from treadle.sweeps.ledger import BAD, Trial
from treadle.sweeps.plan import Tell

_SECONDS = 3600
_TRAINED = re.compile(r"^\S+ \S+ train done in (\d+\.\d+) s$", re.MULTILINE)  # of run.log


@dataclass(frozen=True)
class Declared:
    """A replay that is about to be made."""

    experiment: Experiment
    settings: Replay
    plan: Plan
    sweep: Sweep

    @property
    def folder(self) -> Path:
        """Where its predictions and its answer are."""
        return self.sweep.root / FOLDER / self.sweep.name


def declare(overrides: Sequence[str], *, root: Path, notify: Callable[[str], None]) -> Declared:
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
    return Declared(experiment, settings, plan, declare_matrix(plan, settings, given, root=root))


def make(declared: Declared, *, tell: Tell) -> Answer:
    """Train what is not trained yet, and answer.

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
    trials = match_trials(declared.plan, drive.ledger.trials)
    predictions = predict_all(
        declared.plan,
        trials,
        experiment=declared.experiment,
        root=declared.sweep.root,
        folder=declared.folder / "predictions",
    )
    runs, costs = declared.sweep.root / RUNS, declared.settings.cost.training_hour
    hours = measure_hours(trials, runs=runs, costs=costs)
    return Review(declared.plan, predictions, declared.experiment, declared.settings, hours).answer()


def measure_hours(trials: Mapping[Origin, Trial], *, runs: Path, costs: float) -> dict[Origin, float]:
    """Of each training [h]; of one that was made before, as its run's own log has it, else the mean of the others.

    Args:
        trials: of each model, all of them done.
        runs: the folder of runs.
        costs: price of an hour.

    Raises:
        TreadleError: an hour has a price, and no training has a time.
    """
    found = {o: _read_seconds(RunFolder(runs / t.run)) if t.is_reused else t.seconds for o, t in trials.items()}
    known = [seconds for seconds in found.values() if seconds is not None]
    if not known and costs:
        raise TreadleError(
            f"replay.cost.training_hour is {costs:g}, and no log of the {len(trials)} models, which were all made "
            f"before, says how long its training took; set it to 0, or delete their runs and call `treadle replay` "
            "again"
        )
    usual = statistics.fmean(known) if known else 0.0
    return {o: (usual if seconds is None else seconds) / _SECONDS for o, seconds in found.items()}


def _read_seconds(run: RunFolder) -> float | None:
    """How long the newest training of a run took; None: its log does not say, since it was taken from the cache."""
    times = _TRAINED.findall(read_text(run.log)) if run.log.is_file() else []
    return float(times[-1]) if times else None
