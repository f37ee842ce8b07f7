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
from treadle.retraining.composition import compose_retraining
from treadle.retraining.ledger import Decided, read_decisions
from treadle.retraining.retrain import Occasion, declare, digest_rules, finish, move_split, require_fitting, retrain
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

    Raises:
        TreadleError: the ledgers of the name hold what this simulation did not decide.
    """
    experiment, rows = _prepare(overrides, clock, root=root, notify=notify)
    name = experiment.name
    ticks: list[Tick] = []
    for now, until in clock.list_ticks():
        decided = _find_decided(name, now, root=root)
        if decided is None:
            retrain(_declare(overrides, now, root=root), dry=False, notify=lambda _: None)
            decided = _find_decided(name, now, root=root)
        elif decided == read_decisions(name, root=root).items[-1]:  # it may have been killed before it was done
            finish(_declare(overrides, now, root=root))
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
    meant, composed = compose_retraining(overrides, root=root)
    given = check(composed)
    split, settings = require_fitting(given)
    require_own(given.name, clock, digest_rules(settings), root=root)
    moved = move_split(split, settings, test=(clock.first, clock.last))
    composed = compose(overrides=[*meant, moved], root=root)
    experiment = check(composed)
    assert isinstance(experiment, Experiment), "required"
    resolved = freeze(experiment, question=composed.question)
    folder = run(resolved, root=root, upto="prepare", notify=notify, keeps_unsplit=True).folder
    return experiment, folder.examples / "test.parquet"


def require_own(name: str, clock: Clock, rules: str, *, root: Path) -> None:
    """Require that the ledgers of a model hold only what a simulation of this clock and these rules decided.

    Raises:
        TreadleError: they hold something else.
    """
    fix = "a simulation needs a name of its own: name=NAME"
    moments = {now.isoformat(timespec="seconds") for now, _ in clock.list_ticks()}
    history, decisions = read_history(name, root=root), read_decisions(name, root=root)
    for path, items in ((history.path, history.decisions), (decisions.path, decisions.items)):
        other = next((item.time for item in items if item.time not in moments), None)
        if other is not None:
            raise TreadleError(f"{path} has a decision of {other}, which is no moment of this clock; {fix}")
    changed = next((item.time for item in decisions.items if item.settings != rules), None)
    if changed is not None:
        raise TreadleError(f"{decisions.path}: the decision of {changed} was made by other rules of `retrain`; {fix}")


def _declare(overrides: Sequence[str], now: datetime, *, root: Path) -> Occasion:
    return declare(overrides, now=now, root=root, is_one_of_many=True)


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
    skills = [_predict(d.bundle, tick, coming, experiment, root=root) for d in (decided, first) if d.bundle]
    return replace(tick, skill=skills[0], first_skill=skills[1])


def _predict(wanted: str, tick: Tick, coming: pl.DataFrame, experiment: Experiment, *, root: Path) -> float | None:
    history = read_history(experiment.name, root=root)
    champion = Judged.find(history, wanted, targets=experiment.targets, root=root)
    span = f"{tick.decided.time}-{tick.last.isoformat(timespec='seconds')}".replace(":", "")
    file = root / FOLDER / "simulations" / experiment.name / "predictions" / f"{span}-{wanted[:_DIGITS]}.parquet"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        predicted = champion.bundle.predict(coming, on_breach="allow")
        with replacing(file) as part:
            predicted.write_parquet(part)
    return champion.measure_skill(coming, predicted=pl.read_parquet(file))
