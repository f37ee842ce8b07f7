"""A stretch of the past again, by a simulated clock: requests, labels that come later, monitoring, decisions.

At each tick the log is given the labels that are known by then, monitoring looks at it, and it is decided as `treadle
retrain` decides, as of that moment; then a server answers what comes up to the next tick. What stands in the ledger, in
the log and in the files of predictions is not made again, so that a simulation that was killed goes on, and ends in the
same history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import polars.selectors as cs

from treadle.champions.ledger import History, read_history
from treadle.check.checks import check
from treadle.check.resolve import freeze
from treadle.config.compose import compose
from treadle.disk import read_text, replacing, write_json
from treadle.errors import TreadleError
from treadle.experiment.changes import list_changes, shorten
from treadle.experiment.durations import parse_duration
from treadle.experiment.run_folder import RUNS
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import SOURCE_BUNDLES, list_stages, take_slice
from treadle.keys import is_within, list_leaves
from treadle.pipeline import run as run_pipeline
from treadle.pipeline.locks import try_lock
from treadle.retraining import FOLDER
from treadle.retraining.champion import Judged
from treadle.retraining.composition import compose_retraining
from treadle.retraining.ledger import Decided, read_decisions
from treadle.retraining.production import ANSWER, Production, Watched
from treadle.retraining.retrain import declare, digest_rules, finish, retrain
from treadle.retraining.split import find_known, move_split, require_fitting
from treadle.retraining.traffic import read_traffic
from treadle.schema import PREDICT_AT

Notify = Callable[[str], None]
_DIGITS = 16  # of a bundle's digest, in the name of a file
_FIX = "a simulation needs a name of its own: name=NAME"
_KEPT = "data.split.gap"
_MOVED = ("data.split", *(f"{section}.{key}" for section, key in SOURCE_BUNDLES.items()))  # from decision to decision


@dataclass(frozen=True)
class Tick:
    """From one decision to the next."""

    decided: Decided
    last: datetime  # moment of the next decision
    watched: Watched | None  # what monitoring said of the champion before the decision; None: there was none
    num_answered: int  # rows that the server answered until then
    num_refused: int  # and those that broke the contract
    num_rows: int  # of the answered ones, those whose labels came
    skill: float | None  # of the champion in these, 1 - loss / the prior's; None: no rows, or all of one label
    first_skill: float | None  # in the same rows, of the first champion, as if it had never been replaced
    challenger_skill: float | None  # in the same rows, of the challenger that was asked beside; None: there was none

    def to_plain(self) -> dict[str, Any]:
        """For JSON; a second simulation gives the same."""
        decided = self.decided
        return {
            "time": decided.time,
            "monitoring": None if self.watched is None else self.watched.to_plain(),
            "action": decided.action,
            "reasons": list(decided.reasons),
            "sentence": decided.sentence,
            "champion": decided.bundle,
            "answered": self.num_answered,
            "refused": self.num_refused,
            "rows": self.num_rows,
            "skill": self.skill,
            "first_skill": self.first_skill,
            "challenger": decided.challenger,
            "challenger_skill": self.challenger_skill,
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

    experiment: Experiment
    ticks: list[Tick]


def simulate(overrides: Sequence[str], *, clock: Clock, root: Path, notify: Notify) -> Simulated:
    """Do it, or go on with it.

    Args:
        overrides: of the experiment.
        clock: the moments.
        root: the project.
        notify: prints each line of progress.

    Raises:
        TreadleError: the ledgers of the name hold what this simulation did not decide, it began with another
            experiment, or another process is at it.
    """
    experiment, rows = _prepare(overrides, clock, root=root, notify=notify)
    lock = root / RUNS / f".simulate-{experiment.name}.lock"
    with try_lock(lock) as is_free, TemporaryDirectory(prefix="treadle-traffic-") as scratch:
        if not is_free:
            raise TreadleError(f"another process simulates {experiment.name}: wait for it, or {_FIX}")
        require_same(experiment, find_folder(experiment.name, root=root))
        run = _Run(overrides, clock, experiment, rows=rows, root=root, scratch=Path(scratch))
        return Simulated(experiment, run.go(notify))


class _Run:
    """A simulation under way.

    Args:
        overrides: of the experiment.
        clock: the moments.
        experiment: whose test split is the whole stretch.
        rows: file of that split, with labels.
        root: the project.
        scratch: a folder for copies of tables.
    """

    def __init__(
        self,
        overrides: Sequence[str],
        clock: Clock,
        experiment: Experiment,
        *,
        rows: Path,
        root: Path,
        scratch: Path,
    ) -> None:
        self.overrides, self.clock, self.experiment, self.root = overrides, clock, experiment, root
        self.rows = pl.scan_parquet(rows)
        split, _ = require_fitting(experiment)
        self.gap = parse_duration(split.gap)
        self.folder = find_folder(experiment.name, root=root)
        read = partial(read_traffic, experiment.data, first=clock.first, last=clock.last, root=root, scratch=scratch)
        self.production = Production(experiment, read, folder=self.folder, every=clock.every, gap=self.gap, root=root)

    def go(self, notify: Notify) -> list[Tick]:
        """Each tick after the other."""
        ticks: list[Tick] = []
        since = self.clock.first
        for now, last in self.clock.list_ticks():
            known = find_known(now, self.gap)
            self.production.feed_back(self.rows, now=now, since=since, until=known)
            since = max(since, known)
            watched, findings = self._watch(ticks[-1].decided.bundle if ticks else None, now)
            decided = self._decide(now, findings)
            first = next((tick.decided for tick in ticks if tick.decided.bundle is not None), decided)
            tick = self._serve(Tick(decided, last, watched, 0, 0, 0, None, None, None), now, first)
            ticks.append(tick)
            notify(f"{decided.describe()}; {tick.num_answered:,} rows answered")
        return ticks

    def _watch(self, champion: str | None, now: datetime) -> tuple[Watched | None, Path | None]:
        if champion is None:
            return None, None
        return self.production.watch(champion, self._read_history(), now=now)

    def _decide(self, now: datetime, findings: Path | None) -> Decided:
        """As the ledger has it, or now."""
        declare_now = partial(
            declare,
            self.overrides,
            now=now,
            root=self.root,
            is_one_of_many=True,
            log=self.production.log,
            findings=findings,
        )
        decided = self._find_decided(now)
        if decided is None:
            retrain(declare_now(), dry=False, notify=lambda _: None)
            decided = self._find_decided(now)
        elif (
            decided == read_decisions(self.experiment.name, root=self.root).items[-1]
        ):  # it may have been killed before
            finish(declare_now())
        if decided is None:
            name = self.experiment.name
            raise TreadleError(
                f"{now}: nothing was decided: another process decides about {name}, or ticks are too short"
            )
        return decided

    def _serve(self, tick: Tick, now: datetime, first: Decided) -> Tick:
        """Answer what comes until the next tick by the champion; the first champion predicts the same rows."""
        champion, challenger = tick.decided.bundle, tick.decided.challenger
        if champion is None or first.bundle is None:
            return tick
        history = self._read_history()
        folder = self.production.serve(champion, challenger, history, first=now, last=tick.last)
        answered, refused = self.production.count(folder)
        coming = self.rows.filter(pl.col(PREDICT_AT).is_between(now, tick.last, closed="left")).collect()
        rows = self.production.read_answers(folder, coming, beside=False)
        tick = replace(tick, num_answered=answered, num_refused=refused, num_rows=len(rows))
        if rows.is_empty():
            return tick
        skill = self._measure(champion, rows)
        same = first.bundle == champion
        first_skill = skill if same else self._predict(first.bundle, tick, rows)
        if challenger is not None:
            beside = self.production.read_answers(folder, coming, beside=True)
            tick = replace(tick, challenger_skill=self._measure(challenger, beside))
        return replace(tick, skill=skill, first_skill=first_skill)

    def _measure(self, wanted: str, rows: pl.DataFrame) -> float | None:
        """The skill of a bundle by its answers, which the rows hold; None of no rows."""
        if rows.is_empty():
            return None
        judged = self._find(wanted, self._read_history())
        answers = rows.select(pl.col(f"{ANSWER}{name}").alias(name) for name in judged.bundle.output_names)
        return judged.measure_skill(rows, predicted=answers)

    def _predict(self, wanted: str, tick: Tick, rows: pl.DataFrame) -> float | None:
        judged = self._find(wanted, self._read_history())
        span = f"{tick.decided.time}-{tick.last.isoformat(timespec='seconds')}".replace(":", "")
        file = self.folder / "predictions" / f"{span}-{wanted[:_DIGITS]}.parquet"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            predicted = judged.bundle.predict(rows.drop(cs.starts_with(ANSWER)), on_breach="allow")
            with replacing(file) as part:
                predicted.write_parquet(part)
        return judged.measure_skill(rows, predicted=pl.read_parquet(file))

    def _find(self, wanted: str, history: History) -> Judged:
        return Judged.find(history, wanted, targets=self.experiment.targets, root=self.root)

    def _read_history(self) -> History:
        return read_history(self.experiment.name, root=self.root)

    def _find_decided(self, now: datetime) -> Decided | None:
        time = now.isoformat(timespec="seconds")
        return next((d for d in read_decisions(self.experiment.name, root=self.root).items if d.time == time), None)


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
    folder = run_pipeline(resolved, root=root, upto="prepare", notify=notify, keeps_unsplit=True).folder
    return experiment, folder.examples / "test.parquet"


def require_own(name: str, clock: Clock, rules: str, *, root: Path) -> None:
    """Require that the ledgers of a model hold only what a simulation of this clock and these rules decided.

    Raises:
        TreadleError: they hold something else.
    """
    moments = {now.isoformat(timespec="seconds") for now, _ in clock.list_ticks()}
    history, decisions = read_history(name, root=root), read_decisions(name, root=root)
    for path, items in ((history.path, history.decisions), (decisions.path, decisions.items)):
        other = next((item.time for item in items if item.time not in moments), None)
        if other is not None:
            raise TreadleError(f"{path} has a decision of {other}, which is no moment of this clock; {_FIX}")
    changed = next((item.time for item in decisions.items if item.settings != rules), None)
    if changed is not None:
        raise TreadleError(f"{decisions.path}: the decision of {changed} was made by other rules of `retrain`; {_FIX}")


def require_same(experiment: Experiment, folder: Path) -> None:
    """Require that a simulation goes on with the experiment that it began with, which is written down at first.

    Args:
        experiment: that is simulated.
        folder: of the simulation.

    Raises:
        TreadleError: a value differs that a result depends on.
    """
    file, values = folder / "experiment.json", experiment.model_dump(mode="json")
    slices = [take_slice(values, stage) for stage in list_stages(values)]
    leaves = {key: value for one in slices for key, value in list_leaves(one) if not _is_moved(key)}
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, leaves)
        return
    changes = list_changes(json.loads(read_text(file)), leaves)
    if changes:
        keys = ", ".join(shorten([change.key for change in changes]))
        raise TreadleError(f"{file}: this simulation began with other values of {keys}; {_FIX}")


def _is_moved(key: str) -> bool:
    """Whether a value is another one at each decision."""
    return key != _KEPT and any(is_within(key, moved) for moved in _MOVED)


def find_folder(name: str, *, root: Path) -> Path:
    """Of the simulation of a model."""
    return root / FOLDER / "simulations" / name
