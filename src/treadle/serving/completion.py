"""The completion program: what Polars does with a row that comes without its past, compiled to Python.

It gives the same cells, as it is compared over made rows before it is used; the past is asked of the same state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from treadle.data.prepare import unify
from treadle.errors import TreadleError
from treadle.experiment.spec import Column
from treadle.online.feeds import Online
from treadle.online.rows import RowsError
from treadle.online.state import EPOCH, list_columns_asked
from treadle.schema import PREDICT_AT
from treadle.serving.expressions import Cells, UnknownError, find_kind
from treadle.serving.readers import OddError, list_types, make_reader, to_cells
from treadle.serving.scalars import round_decimal
from treadle.serving.table_program import TableProgram

PROVED_ROWS = 64  # that a program is compared over when it is made

_MOMENTS = {"date", "datetime", "time"}


class Question(NamedTuple):
    """What is known of a row, and what is asked about its past."""

    known: dict[str, Any]
    moment: datetime
    keys: dict[str, Any]


class Completion:
    """Rows of the examples' table to cells of examples.

    Args:
        online: whose declarations, joined tables and state complete a row.
        columns: of the bundle that predicts the examples.

    Raises:
        UnknownError: a row needs what only Polars computes.
    """

    def __init__(self, online: Online, columns: Mapping[str, Column]) -> None:
        self._online = online
        self._table = TableProgram(online.rows_spec, online.joined)
        self._moment = self._table.compile_moment(online.predict_at)
        self._asked = list_columns_asked(online.state)
        self._keys = self._table.compile_keys(self._asked)
        known = [name for name in columns if name in online.known]
        if late := [n for n in columns if n not in online.known and columns[n].dtype in _MOMENTS]:
            raise UnknownError(f"{late[0]!r} is a moment of the past")
        self._known = [_Known(n, self._table.places[n], self._table.types[n], columns[n]) for n in known]
        self._past = [(name, make_reader(columns[name])) for name in columns if name not in online.known]
        self._order = list(columns)
        _prove(self, self._table.make_rows(count=PROVED_ROWS, seed=0), online)

    def complete(self, row: Mapping[str, Any], *, now: datetime) -> Cells:
        """The cells of an example, in the order of the bundle's columns.

        Args:
            row: of the examples' table, as JSON has it.
            now: until when events count.

        Raises:
            ArithmeticError: the row holds what only Polars reads, computes or refuses.
            ValueError: likewise.
        """
        question = self.read(row)
        answers = self._online.ask(min(question.moment, now), question.keys)
        found = question.known | {name: read(answers[name]) for name, read in self._past}
        return tuple(found[name] for name in self._order)

    def read(self, row: Mapping[str, Any]) -> Question:
        """What is asked about a row; errors as of `complete`."""
        cells = self._table.read(row)
        moment = self._moment(cells)
        if moment is None:
            raise OddError  # Polars names the row
        keys = dict(zip(self._asked, self._keys(cells), strict=True))
        at = EPOCH + timedelta(microseconds=moment)
        return Question({known.name: known.read(cells) for known in self._known}, at, keys)


class _Known:
    """A column that an example knows of its own row: the cell, as the bundle reads it."""

    def __init__(self, name: str, place: int, dtype: pl.DataType, column: Column) -> None:
        self.name, self._place = name, place
        self._is_decimal = find_kind(dtype) == "decimal"
        unified = unify(pl.Series(name, [], dtype=dtype)).dtype
        if unified != list_types({name: column})[name]:
            raise UnknownError(f"data.examples.known: {name!r} is {unified}")
        self._read = None if column.dtype in _MOMENTS else make_reader(column)

    def read(self, cells: Cells) -> Any:
        """Of a row."""
        value = cells[self._place]
        if self._is_decimal and value is not None:
            value = round_decimal(value)
        return value if self._read is None else self._read(value)


# --- proof --------------------------------------------------------------------------------------------


def _prove(program: Completion, made: Sequence[Mapping[str, Any]], online: Online) -> None:
    """Compare with Polars over made rows.

    Raises:
        UnknownError: the cells differ, or none of the rows can be read.
    """
    pairs = [(row, question) for row in made if (question := _read(program, row)) is not None]
    try:
        theirs = online.read([row for row, _ in pairs])
    except RowsError as error:  # those without a moment among them
        refused = {fault.row for fault in error.faults}
        pairs = [pair for place, pair in enumerate(pairs) if place not in refused]
        theirs = online.read([row for row, _ in pairs])
    except TreadleError as error:
        raise UnknownError(str(error)) from error
    if not pairs:
        raise UnknownError("no made row can be read")
    assert theirs.predicted_at is not None, "it is compiled"
    names = list(pairs[0][1].known)
    read = zip(pairs, to_cells(theirs.known.select(names)), theirs.predicted_at, theirs.keys, strict=True)
    for (_, ours), known, moment, keys in read:
        wanted = {**dict(zip(names, known, strict=True)), PREDICT_AT: moment, **keys}
        found = {**ours.known, PREDICT_AT: ours.moment, **ours.keys}
        for name, value in found.items():
            if value != wanted[name]:
                raise UnknownError(f"{name!r} of a made row is {value!r}, and {wanted[name]!r} by Polars")


def _read(program: Completion, row: Mapping[str, Any]) -> Question | None:
    try:
        return program.read(row)
    except (ArithmeticError, ValueError):
        return None
