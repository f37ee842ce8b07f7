"""A stretch of the past again, by a simulated clock: predictions, labels that come later, decisions, champions.

At each tick it is decided as `treadle retrain` decides, as of that moment; then the champion predicts the rows up to
the next tick. What stands in the ledger and in the files of predictions is not made again, so that a simulation that
was killed goes on, and ends in the same history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from treadle.champions.ledger import read_history
from treadle.check.checks import check
from treadle.check.resolve import freeze
from treadle.config.compose import compose
from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.experiment.spec import Experiment
from treadle.pipeline import run
from treadle.retraining import FOLDER
from treadle.retraining.champion import Judged
from treadle.retraining.ledger import Decided, read_decisions
from treadle.retraining.retrain import declare, move_split, require_fitting, retrain
from treadle.schema import PREDICT_AT

Notify = Callable[[str], None]
_DIGITS = 16  # of a bundle's digest, in the name of a file


@dataclass(frozen=True)
class Tick:
    """From one decision to the next."""

    decided: Decided
    last: datetime  # moment of the next decision
    num_rows: int  # that were predicted until then
    skill: float | None  # of the champion, 1 - loss / the prior's; None: no rows, or all of one label
    first_skill: float | None  # in the same rows, of the first champion, as if it had never been replaced

    def to_plain(self) -> dict[str, Any]:
        """For JSON; a second simulation gives the same."""
        decided = self.decided
        return {
            "time": decided.time,
            "action": decided.action,
            "reasons": list(decided.reasons),
            "sentence": decided.sentence,
            "champion": decided.bundle,
            "rows": self.num_rows,
            "skill": self.skill,
            "first_skill": self.first_skill,
        }


@dataclass(frozen=True)
class Clock:
    """The moments of the decisions."""

    first: datetime
    last: datetime
    every: timedelta

    def list_ticks(self) -> list[tuple[datetime, datetime]]:
        """Each moment with the next one."""
        moments = []
        moment = self.first
        while moment < self.last:
            moments.append((moment, min(moment + self.every, self.last)))
            moment += self.every
        return moments


@dataclass(frozen=True)
class Simulated:
    """What happened."""

    name: str  # of the model
    ticks: list[Tick]


def simulate(overrides: Sequence[str], *, clock: Clock, root: Path, notify: Notify) -> Simulated:
    """Do it, or go on with it.

    Args:
        overrides: of the experiment.
        clock: the moments.
        root: the project.
        notify: prints each line of progress.
    """
    experiment, rows = _prepare(overrides, clock, root=root, notify=notify)
    name = experiment.name
    ticks: list[Tick] = []
    for now, until in clock.list_ticks():
        decided = _find_decided(name, now, root=root)
        if decided is None:
            retrain(declare(overrides, now=now, root=root), dry=False, notify=lambda _: None)
            decided = _find_decided(name, now, root=root)
        if decided is None:
            raise TreadleError(
                f"{now}: nothing was decided: another process decides about {name}, or ticks are too short"
            )
        coming = pl.scan_parquet(rows).filter(pl.col(PREDICT_AT).is_between(now, until, closed="left")).collect()
        ticks.append(
            _serve(decided, coming, until, experiment, root=root, first=ticks[0].decided if ticks else decided)
        )
        notify(f"{decided.describe()}; {len(coming):,} rows predicted")
    return Simulated(name, ticks)


def _prepare(overrides: Sequence[str], clock: Clock, *, root: Path, notify: Notify) -> tuple[Experiment, Path]:
    """The experiment, and the rows of the whole stretch."""
    composed = compose(overrides=overrides, root=root)
    split, settings = require_fitting(check(composed))
    moved = move_split(split, settings, test=(clock.first, clock.last))
    composed = compose(overrides=[*overrides, moved], root=root)
    experiment = check(composed)
    assert isinstance(experiment, Experiment), "required"
    folder = run(freeze(experiment, question=composed.question), root=root, upto="prepare", notify=notify).folder
    return experiment, folder.examples / "test.parquet"


def _find_decided(name: str, now: datetime, *, root: Path) -> Decided | None:
    time = now.isoformat(timespec="seconds")
    return next((d for d in read_decisions(name, root=root).items if d.time == time), None)


def _serve(
    decided: Decided, coming: pl.DataFrame, last: datetime, experiment: Experiment, *, root: Path, first: Decided
) -> Tick:
    """Predict the rows until the next tick by the champion, and by the first champion."""
    tick = Tick(decided, last, len(coming), None, None)
    if decided.bundle is None or first.bundle is None or coming.is_empty():
        return tick
    skills = [_predict(d.bundle, decided, coming, experiment, root=root) for d in (decided, first) if d.bundle]
    return replace(tick, skill=skills[0], first_skill=skills[1])


def _predict(
    wanted: str, decided: Decided, coming: pl.DataFrame, experiment: Experiment, *, root: Path
) -> float | None:
    history = read_history(experiment.name, root=root)
    champion = Judged.find(history, wanted, targets=experiment.targets, root=root)
    time = decided.time.replace(":", "")
    file = root / FOLDER / "simulations" / experiment.name / "predictions" / f"{time}-{wanted[:_DIGITS]}.parquet"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        predicted = champion.bundle.predict(coming, on_breach="allow")
        with replacing(file) as part:
            predicted.write_parquet(part)
    return champion.measure_skill(coming, predicted=pl.read_parquet(file))
