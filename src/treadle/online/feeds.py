"""Events and rows to predict as they arrive: held against their table's contract, joined and derived as it declares."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from treadle.data.lazy_frames import collect
from treadle.data.needed import find_needs, restrict_table
from treadle.data.prepare import time_prediction, unify
from treadle.data.tables import enrich, read_table
from treadle.errors import TreadleError
from treadle.experiment.spec import Column, Data, Table
from treadle.hints import nearest
from treadle.online.log import START, EventLog, LogError, ReplacedError
from treadle.online.looks import Answers
from treadle.online.rows import Fault, RowsError, read_rows
from treadle.online.state import EPOCH, KEEP, Prepared, State, list_columns_asked
from treadle.schema import PREDICT_AT, STEP

LOGGER = logging.getLogger("treadle.online")
EventReader = Callable[[Sequence[Any]], Prepared | None]  # None: only Polars reads, computes or refuses one of them
RETRY_S = 2.0  # until a log that was out of reach is read again: predictions would wait for it each time


class Taken(NamedTuple):
    """What became of events."""

    num_events: int
    num_late: int  # arrived after a question that they would have counted for
    num_unknown: int  # without a moment: they never become known


class Questions(NamedTuple):
    """Rows of the examples' table, read: what is known of them, and what is asked about their past."""

    known: pl.DataFrame  # the columns that an example knows of its own row
    predicted_at: pl.Series | None  # when each is predicted; None: they look at no past
    keys: list[dict[str, Any]]  # the columns that questions read, of each row


class Online:
    """A state that takes events as JSON has them, and follows a log of them, which others may write to.

    It may be used by several threads.

    Args:
        data: what the run declares.
        files: of the tables that events are joined with, by name.
        log: of events; None: they are in memory alone.
        root: paths are relative to it.
        now: the current time, from which the log is read back.
        scratch: a folder for copies of the tables, as long as this lives.

    Raises:
        TreadleError: a table that is joined is missing, or the log cannot be read.
    """

    def __init__(
        self, data: Data, *, files: Mapping[str, str], log: EventLog | None, root: Path, now: datetime, scratch: Path
    ) -> None:
        needs = find_needs(data)
        self._label_joins = needs.label_joins
        self.state = State(data, self._label_joins)
        self.fault: str | None = None  # of the log, the last time that it was read
        self._again = 0.0  # when it is read again, on the clock that never jumps [s]
        self.num_refused = 0  # events of the log that break the declarations
        self.num_rebuilt = 0  # times that the state was made anew, since the log was another one
        self._data, self._log, self._scratch = data, log, scratch
        self._last = START  # of the last event of the log that was taken
        self._lock = threading.RLock()  # of the state
        self.programs: dict[str, EventReader] = {}  # of feeds, which serve a few events faster than `prepare`
        read = dict.fromkeys([*self.state.feeds, data.examples.table])
        self.specs = {name: restrict_table(data, name, needs, key=data.tables[name].key) for name in read}
        self.rows_spec = add_step(self.specs[data.examples.table], data)
        joined = dict.fromkeys(join.table for spec in self.specs.values() for join in spec.joins.values())
        self.joined: dict[str, pl.LazyFrame] = {}
        for name in joined:
            if name not in files:
                raise TreadleError(f"events are joined with the table {name!r}: name its file")
            spec = restrict_table(data, name, needs, key=[]).model_copy(update={"path": files[name]})
            self.joined[name] = read_table(spec, name=name, root=root, now=now, scratch=scratch)
        if log is not None:
            self._since = _reach_back(log, now, self.state.longest)
            self._follow(log)

    @property
    def columns(self) -> list[str]:
        """The columns of the past, which `complete` computes."""
        return [name for look in self.state.looks for name in look.columns]

    @property
    def known(self) -> list[str]:
        """The columns that an example knows of its own row."""
        return list(dict.fromkeys(self._data.examples.known))

    @property
    def predict_at(self) -> str | None:
        """When the prediction of a row is made."""
        return self._data.examples.predict_at

    @property
    def examples(self) -> str:
        """The table whose rows are completed."""
        return self._data.examples.table

    def list_columns(self, table: str) -> dict[str, Column]:
        """What an event of a feed holds."""
        return dict(self.specs[table].columns)

    @property
    def row_columns(self) -> dict[str, Column]:
        """What a row of the examples' table holds that is to be completed: of a forecast its step, too."""
        return dict(self.rows_spec.columns)

    def add(self, table: str, parts: Sequence[Sequence[Any]], *, now: datetime) -> list[Taken]:
        """Take events in parts, and say of each part what became of it: all, or none where one breaks the contract.

        All is computed before anything is recorded: an event for which an expression fails would fail in every replay.

        Raises:
            RowsError: an event breaks its contract, or an expression fails for it.
            LogError: the log cannot be written. Where it did not answer at all, it may have recorded them.
            TreadleError: the table is no feed.
        """
        if table not in self.state.feeds:
            raise TreadleError(f"no feed {table!r}. {nearest(table, self.state.feeds)}")
        rows = [row for part in parts for row in part]
        if not rows:
            return [Taken(0, 0, 0) for _ in parts]
        events = self._prepare_or_name(table, rows)
        moments = events.moments
        with self._lock:
            late = self.state.find_late(moments)
            if self._log is None:
                self.state.take(events)
                self.state.forget(now=now)
            else:
                appended = self._log.append(table, rows, moments.to_list())
                if appended.before == self._last:
                    self.state.take(events)
                    self._last = appended.last
                else:  # others have written, too; where that cannot be read now, these are recorded all the same
                    self._catch_up(self._log)
        ends = list(accumulate(len(part) for part in parts))
        places = [slice(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
        return [Taken(len(late[own]), int(late[own].sum()), moments[own].null_count()) for own in places]

    def catch_up(self) -> None:
        """Take what others have written to the log; where it is out of reach, `fault` says why, and nothing changes."""
        if self._log is not None and time.monotonic() >= self._again:
            with self._lock:
                self._catch_up(self._log)

    def _catch_up(self, log: EventLog) -> None:
        try:
            self._follow(log)
            self.fault = None
        except LogError as error:
            self.fault, self._again = str(error), time.monotonic() + RETRY_S

    def _follow(self, log: EventLog) -> None:
        """Take the events of the log from the last one on; those of tables that are no feed are for others."""
        try:
            for feed, rows, last in log.read(after=self._last, since=self._since):
                if feed in self.state.feeds:
                    self._take(feed, rows)
                self._last = last
        except ReplacedError as error:
            LOGGER.warning("%s: what is known is what it holds now; events after its copy must be sent again", error)
            self.num_rebuilt += 1
            self.state, self._last = State(self._data, self._label_joins), START
            self._follow(log)

    def _take(self, feed: str, rows: Sequence[Any]) -> None:
        """Events that were taken under other declarations may break these; they are left out, and counted."""
        try:
            self.state.take(self.prepare(feed, rows))
        except RowsError as error:
            broken = {fault.row for fault in error.faults}
            self.num_refused += len(broken)
            if kept := [row for place, row in enumerate(rows) if place not in broken]:
                self._take(feed, kept)
        except TreadleError:  # an expression fails for some of them: halves find which, in their order
            if len(rows) == 1:
                self.num_refused += 1
                return
            middle = len(rows) // 2
            self._take(feed, rows[:middle])
            self._take(feed, rows[middle:])

    def forget(self, *, now: datetime, keep: timedelta | None) -> None:
        """Remove what is older than any question can see; called now and then.

        Args:
            now: the current time.
            keep: how long events stay in the log at least, for those who look back further; None: all of them stay.
        """
        with self._lock:
            self.state.forget(now=now)
        if self._log is not None and keep is not None:
            with suppress(LogError):  # the next time
                longest = max(self.state.longest, keep / KEEP)
                self._log.forget(before=_reach_back(self._log, now, longest))

    def ask(self, at: datetime, example: Mapping[str, object]) -> Answers:
        """As `State.ask`."""
        with self._lock:
            return self.state.ask(at, example)

    def complete(self, rows: Sequence[Any], *, moments: Sequence[datetime]) -> pl.DataFrame:
        """Examples to predict, from rows of the examples' table as they come.

        Each is asked at its own moment of prediction, or at the moment at which its answer was asked for where that is
        still to come: so that a window is as long as in training. What is known only later may be absent; a row of a
        forecast has its step beside.

        Args:
            rows: as JSON has them.
            moments: of each row, when its answer was asked for.

        Raises:
            RowsError: a row breaks the table's contract, or has no moment.
        """
        asked = self.read(rows)
        if asked.predicted_at is None:
            return asked.known
        questions = zip(asked.predicted_at, moments, asked.keys, strict=True)
        with self._lock:
            found = [self.state.ask(min(at, moment), keys) for at, moment, keys in questions]
        answers = pl.DataFrame(found, infer_schema_length=None)
        return asked.known.with_columns(values for values in answers if values.name not in asked.known.columns)

    def read(self, rows: Sequence[Any]) -> Questions:
        """What is asked about rows of the examples' table as they come; errors as of `complete`."""
        spec = self._data.examples
        table = self._enrich(spec.table, rows, self.rows_spec)
        (known,) = collect(table.select(self.known), key="data.examples.known")
        columns = pl.DataFrame([unify(values) for values in known])
        if spec.predict_at is None:
            return Questions(columns, None, [])
        predicted_at = table.select(time_prediction(spec.predict_at, table)).collect()[PREDICT_AT]
        if predicted_at.null_count():
            rule = "data.examples.predict_at is missing; complete the columns that it is computed from"
            raise RowsError(spec.table, [Fault(place, None, None, rule) for place in predicted_at.is_null().arg_true()])
        return Questions(columns, predicted_at, table.select(list_columns_asked(self.state)).collect().rows(named=True))

    def prepare(self, table: str, rows: Sequence[Any]) -> Prepared:
        """What the state takes of events as JSON has them; errors as of `add`."""
        return self.state.prepare(table, self._enrich(table, rows, self.specs[table]))

    def _prepare_or_name(self, table: str, rows: Sequence[Any]) -> Prepared:
        """By the table's program where it can, else `prepare`; where an expression fails, the error names the rows."""
        program = self.programs.get(table)
        if program is not None and (found := program(rows)) is not None:
            return found
        try:
            return self.prepare(table, rows)
        except RowsError:
            raise
        except TreadleError as error:
            faults = []
            for place, row in enumerate(rows):
                try:
                    self.prepare(table, [row])
                except TreadleError as fault:
                    faults.append(Fault(place, None, None, str(fault)))
            raise RowsError(table, faults or [Fault(0, None, None, str(error))]) from error

    def _enrich(self, table: str, rows: Sequence[Any], spec: Table) -> pl.LazyFrame:
        frame = read_rows(rows, spec, table=table)
        given = (
            pl.concat([frame, frame]) if len(frame) == 1 else frame
        )  # Polars divides one row in another way than many
        enriched = enrich(given.lazy(), spec, tables=self.joined, name=table, scratch=self._scratch)
        return enriched.rows.head(len(frame))


def _reach_back(log: EventLog, now: datetime, longest: timedelta) -> datetime:
    """The moment before which nothing counts: from the newest event that is known, if the clock is ahead of it."""
    newest = log.find_newest(upto=now)
    known = now if newest is None else EPOCH + timedelta(microseconds=newest)
    return known - KEEP * longest


def add_step(table: Table, data: Data) -> Table:
    """The examples' table as a question holds its rows: of a forecast with their step."""
    if data.forecast is None:
        return table
    step = Column(dtype="int", min=1, max=data.forecast.horizon)
    derived = {**table.derive, **data.forecast.derive}
    return table.model_copy(update={"columns": {**table.columns, STEP: step}, "derive": derived})
