"""The models of a replay: those of a sweep, and those that take over from another one, which follow each other."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from treadle.check.checks import check
from treadle.check.resolve import freeze
from treadle.config.compose import compose
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.spec import Replay
from treadle.pipeline import run
from treadle.pipeline.locks import Notify
from treadle.replay.matrix import Origin, Plan
from treadle.sweeps.ledger import Trial

_SECONDS = 3600
_TRAINED = re.compile(r"^\S+ \S+ train done in (\d+\.\d+) s$", re.MULTILINE)  # of run.log


@dataclass(frozen=True)
class Trained:
    """A model, in its run."""

    folder: RunFolder
    signature: str  # of its training
    seconds: float | None  # that the training took; None: nobody knows, since it was taken from the cache

    @classmethod
    def of_trial(cls, trial: Trial, *, root: Path) -> Trained:
        """A trial that is done; of one that was made before, the time is that of the run's own log."""
        folder = RunFolder(root / RUNS / trial.run)
        return cls(folder, trial.signature, read_seconds(folder) if trial.is_reused else trial.seconds)


def train_warm(
    plan: Plan,
    cold: Mapping[Origin, Trained],
    *,
    settings: Replay,
    overrides: Sequence[str],
    root: Path,
    log: Path,
    notify: Notify,
) -> dict[Origin, Trained]:
    """Train the models that take over from another one, one after the other; what was trained before is taken over.

    Args:
        plan: of the matrix.
        cold: the models that need no other one.
        settings: of the replay.
        overrides: of the experiment.
        root: the project.
        log: a file, for what trainings print.
        notify: prints a line for each.
    """
    models = dict(cold)
    for number, origin in enumerate(plan.warm, start=1):
        place = models[origin.before].folder.path.relative_to(root).as_posix()
        given = [*overrides, f"++data.split={plan.write_split(origin, settings)}", f"schedule.start_from={place}"]
        if origin.optimizer == "continue":
            given.append("++schedule.start_optimizer=continue")
        if origin.warm == "keep":
            given.append(f"++features.start_from={place}")
        composed = compose(overrides=given, root=root)
        resolved = freeze(check(composed), question=composed.question)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file, redirect_stdout(file):
            done = run(resolved, root=root, upto="train", notify=print, keeps_unsplit=True, overrides=given)
        models[origin] = Trained(done.folder, done.signatures["train"], read_seconds(done.folder))
        state = "done" if done.states["train"] == "ran" else "reused"
        moment = f"{plan.starts[origin.block]:%Y-%m-%d}"
        notify(f"model {number}/{len(plan.warm)}  trained as of {moment}, {plan.describe_rows(origin)}: {state}")
    return models


def measure_hours(models: Mapping[Origin, Trained], *, costs: float) -> dict[Origin, float]:
    """Of each training [h]; where it is not known, the mean of the others.

    Args:
        models: all of them.
        costs: price of an hour.

    Raises:
        TreadleError: an hour has a price, and no training has a time.
    """
    known = [model.seconds for model in models.values() if model.seconds is not None]
    if not known and costs:
        raise TreadleError(
            f"replay.cost.training_hour is {costs:g}, and no log of the {len(models)} models, which were all made "
            f"before, says how long its training took; set it to 0, or delete their runs and call `treadle replay` "
            "again"
        )
    usual = statistics.fmean(known) if known else 0.0
    return {o: (usual if model.seconds is None else model.seconds) / _SECONDS for o, model in models.items()}


def read_seconds(run: RunFolder) -> float | None:
    """How long the newest training of a run took; None: its log does not say, since it was taken from the cache."""
    times = _TRAINED.findall(read_text(run.log)) if run.log.is_file() else []
    return float(times[-1]) if times else None
