"""Events and rows to predict as they arrive: held against their table's contract, joined and derived as it declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from treadle.data.casting import cast_cells, lost_mark
from treadle.data.contract import list_row_rules
from treadle.data.lazy_frames import collect
from treadle.data.needed import find_needs, restrict_table
from treadle.data.prepare import time_prediction, unify
from treadle.data.tables import enrich, read_table
from treadle.errors import TreadleError
from treadle.experiment.spec import Data, Table
from treadle.hints import nearest
from treadle.online.log import EventLog
from treadle.online.looks import Answers
from treadle.online.state import KEEP, State, list_columns_asked
from treadle.schema import KNOWN_AT, PREDICT_AT


class Online:
    """A state that takes events as JSON has them, and is made again from a log of them.

    Args:
        data: what the run declares.
        files: of the tables that events are joined with, by name.
        log: of events; None: they are in memory alone.
        root: paths are relative to it.
        now: the current time, from which the log is read back.
        scratch: a folder for copies of the tables, as long as this lives.

    Raises:
        TreadleError: a table that is joined is missing, or an event of the log does not fit the declarations.
    """

    def __init__(
        self, data: Data, *, files: Mapping[str, str], log: EventLog | None, root: Path, now: datetime, scratch: Path
    ) -> None:
        needs = find_needs(data)
        self.state = State(data, needs.label_joins)
        self._data, self._log, self._scratch = data, log, scratch
        read = dict.fromkeys([*self.state.feeds, data.examples.table])
        self._specs = {name: restrict_table(data, name, needs, key=data.tables[name].key) for name in read}
        joined = dict.fromkeys(join.table for spec in self._specs.values() for join in spec.joins.values())
        self._joined: dict[str, pl.LazyFrame] = {}
        for name in joined:
            if name not in files:
                raise TreadleError(f"events are joined with the table {name!r}: name its file")
            spec = restrict_table(data, name, needs, key=[]).model_copy(update={"path": files[name]})
            self._joined[name] = read_table(spec, name=name, root=root, now=now, scratch=scratch)
        if log is not None:
            self._read_back(log, now)

    def _read_back(self, log: EventLog, now: datetime) -> None:
        since = now - KEEP * self.state.longest
        log.forget(before=since)
        for table, rows in log.read(since=since):
            self.state.add(table, self._read(table, rows))

    def add(self, table: str, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> int:
        """Take events: all of them, or none where one breaks the contract; gives how many became known or will be.

        Raises:
            TreadleError: the table is no feed, or an event breaks its contract: with event, column and rule.
        """
        if table not in self.state.feeds:
            raise TreadleError(f"no feed {table!r}. {nearest(table, self.state.feeds)}")
        if not rows:
            return 0
        events = self._read(table, rows)
        moments = events.select(pl.col(KNOWN_AT).to_physical()).collect().to_series()
        if self._log is not None:
            self._log.append(table, rows, moments.to_list())
        self.state.add(table, events)
        self.state.forget(now=now)
        return len(moments) - moments.null_count()

    def ask(self, at: datetime, example: Mapping[str, object]) -> Answers:
        """As `State.ask`."""
        return self.state.ask(at, example)

    def complete(self, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> pl.DataFrame:
        """Examples to predict, from rows of the examples' table as they come.

        Each is asked at its own moment of prediction, or now where that is still to come: so that a window is as long
        as in training. What is known only later may be absent.

        Raises:
            TreadleError: a row breaks the table's contract, or has no moment.
        """
        spec = self._data.examples
        table = self._read(spec.table, rows)
        (known,) = collect(table.select(list(dict.fromkeys(spec.known))), key="data.examples.known")
        columns = [unify(values) for values in known]
        if spec.predict_at is None:
            return pl.DataFrame(columns)
        moments = table.select(time_prediction(spec.predict_at, table)).collect()[PREDICT_AT]
        if moments.null_count():
            place = moments.is_null().arg_true()[0]
            raise TreadleError(f"data.examples.predict_at: missing in row {place + 1} of {spec.table!r}")
        keys = table.select(list_columns_asked(self.state)).collect().iter_rows(named=True)
        asked = zip(moments, keys, strict=True)
        answers = pl.DataFrame([self.ask(min(at, now), key) for at, key in asked], infer_schema_length=None)
        return pl.DataFrame([*columns, *(values for values in answers if values.name not in known.columns)])

    def _read(self, table: str, rows: Sequence[Mapping[str, Any]]) -> pl.LazyFrame:
        spec = self._specs[table]
        frame = _read_cells(table, rows, spec)
        return enrich(frame.lazy(), spec, tables=self._joined, name=table, scratch=self._scratch).rows


def _read_cells(table: str, rows: Sequence[Mapping[str, Any]], spec: Table) -> pl.DataFrame:
    """Events in the declared types; a column that may be missing may be absent."""
    columns = {name: column.model_copy(update={"source": None}) for name, column in spec.columns.items()}
    for place, row in enumerate(rows):
        absent = [name for name, column in columns.items() if name not in row and not column.nullable]
        if absent:
            raise TreadleError(f"event {place + 1} of {table!r} has no {absent[0]!r}. {nearest(absent[0], row)}")
    given = {name: [row.get(name) for row in rows] for name in columns}
    try:
        frame = pl.DataFrame(given, strict=True)
        cells = cast_cells(frame.lazy(), columns, schema=frame.schema).collect()
    except (PolarsError, TypeError) as error:
        raise TreadleError(f"events of {table!r} cannot be read: {str(error).splitlines()[0]}") from error
    for name, column in columns.items():
        lost = cells[lost_mark(name)].arg_true()
        if len(lost):
            found = f"event {lost[0] + 1} of {table!r} holds {given[name][lost[0]]!r}"
            raise TreadleError(f"data.tables.{table}.columns.{name}: must be of type {column.dtype}; {found}")
    cells = cells.select(list(columns))
    for rule in list_row_rules(columns):
        broken = cells.select(rule.breaks.alias("broken"))["broken"].arg_true()
        if len(broken):
            (name,) = rule.columns
            found = f"event {broken[0] + 1} of {table!r} has {given[name][broken[0]]!r}"
            raise TreadleError(f"data.tables.{table}.columns.{name}: {rule.words}; {found}")
    return cells
