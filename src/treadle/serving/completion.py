"""The completion program: what Polars does with a row that comes without its past, compiled to Python.

The row's table joins, derives and times its rows by queries, which take Polars eighty milliseconds for one row. As
functions and dictionaries they take a tenth of one, and give the same cells; the past is then asked of the same state.
Rows that hold anything odd go the way through Polars, which also words the errors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from treadle.data.lazy_frames import collect, derive, narrow_integers
from treadle.data.prepare import unify
from treadle.data.tables import open_lookup
from treadle.errors import TreadleError
from treadle.experiment.spec import Column, Join, Table
from treadle.online.feeds import Online
from treadle.online.rows import RowsError
from treadle.online.state import EPOCH, list_columns_asked
from treadle.schema import PREDICT_AT
from treadle.serving.expressions import Cells, Function, UnknownError, compile_expression, find_kind, round_decimal
from treadle.serving.readers import Check, OddError, Reader, list_types, make_check, make_reader, to_cells, to_frame
from treadle.serving.row import make_cell

PROVED_ROWS = 64  # that a program is compared over when it is made

_MOMENTS = {"date", "datetime", "time"}


def _keep(cell: Any) -> Any:
    return cell


# Types of keys, and how the cell of one becomes the value by which a state is asked.
_KEYS: dict[pl.DataType, Callable[[Any], Any]] = {
    pl.Int64(): _keep,
    pl.Float64(): _keep,
    pl.String(): _keep,
    pl.Boolean(): _keep,
    pl.Datetime("us"): lambda cell: None if cell is None else EPOCH + timedelta(microseconds=cell),
    pl.Date(): lambda cell: None if cell is None else EPOCH.date() + timedelta(days=cell),
}


class _Field(NamedTuple):
    name: str
    read: Reader
    check: Check | None
    nullable: bool


class _Lookup(NamedTuple):
    here: Sequence[int]  # places of the keys among the cells
    rows: Mapping[tuple[Any, ...], Cells]
    absent: Cells


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
        spec = online.rows_spec
        given = {name: column.model_copy(update={"source": None}) for name, column in spec.columns.items()}
        self._fields = [_Field(n, make_reader(c), make_check(c), c.nullable) for n, c in given.items()]
        types = list_types(given)
        self._lookups = [_compile_join(join, online.joined[join.table], types) for join in spec.joins.values()]
        self._derived = _compile_derived(spec, types)
        places = {name: place for place, name in enumerate(types)}
        self._moment = _compile_moment(online.predict_at, types, places)
        asked = list_columns_asked(online.state)
        if odd := [name for name in asked if types[name] not in _KEYS]:
            raise UnknownError(f"the key {odd[0]!r} is {types[odd[0]]}")
        self._asked = [(name, places[name], _KEYS[types[name]]) for name in asked]
        known = [name for name in columns if name in online.known]
        if late := [n for n in columns if n not in online.known and columns[n].dtype in _MOMENTS]:
            raise UnknownError(f"{late[0]!r} is a moment of the past")
        self._known = [_Known(name, places[name], types[name], columns[name]) for name in known]
        self._past = [(name, make_reader(columns[name])) for name in columns if name not in online.known]
        self._order = list(columns)
        _prove(self, online, given)

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
        cells = self._read(row)
        for lookup in self._lookups:
            cells += lookup.rows.get(tuple(cells[place] for place in lookup.here), lookup.absent)
        for function in self._derived:
            cells.append(function(cells))
        moment = self._moment(cells)
        if moment is None:
            raise OddError  # Polars names the row
        keys = {name: convert(cells[place]) for name, place, convert in self._asked}
        at = EPOCH + timedelta(microseconds=moment)
        return Question({known.name: known.read(cells) for known in self._known}, at, keys)

    def _read(self, row: Mapping[str, Any]) -> list[Any]:
        cells = []
        for name, read, check, nullable in self._fields:
            if name not in row and not nullable:
                raise OddError
            cell = read(row.get(name))
            if check is not None and check(cell):
                raise OddError
            cells.append(cell)
        return cells


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


def _compile_join(join: Join, other: pl.LazyFrame, types: dict[str, pl.DataType]) -> _Lookup:
    """The rows of the joined table by key; `types` gets its columns."""
    places = {name: place for place, name in enumerate(types)}
    try:
        (values,) = collect(narrow_integers(open_lookup(join, other, key="a join")), key="a join")
    except TreadleError as error:
        raise UnknownError(str(error)) from error
    keys = values.columns[: len(join.by)]
    for here, there in zip(join.by, keys, strict=True):
        if types[here] not in _KEYS or values[there].dtype != types[here]:
            raise UnknownError(f"a join by {here!r}, which is {types[here]}")
    for name, dtype in values.drop(keys).schema.items():
        if name in types or dtype.is_decimal():
            raise UnknownError(f"the joined column {name!r}")
        types[name] = dtype
    rows = {row[: len(keys)]: row[len(keys) :] for row in to_cells(values) if None not in row[: len(keys)]}
    return _Lookup([places[here] for here in join.by], rows, (None,) * len(join.columns))


def _compile_derived(spec: Table, types: dict[str, pl.DataType]) -> list[Function]:
    """The expressions in their order; `types` gets their columns, integers as wide as they are afterwards."""
    functions = []
    frame = pl.LazyFrame(schema=dict(types))
    for count, (name, text) in enumerate(spec.derive.items(), start=1):
        if name in types:
            raise UnknownError(f"the derived column {name!r} takes the place of another one")
        functions.append(compile_expression(text, types, {column: place for place, column in enumerate(types)}))
        so_far = dict(list(spec.derive.items())[:count])
        types[name] = derive(frame, so_far, key="derive").collect_schema()[name]
    types |= {name: pl.Int64() for name, dtype in types.items() if dtype == pl.Int128()}
    return functions


def _compile_moment(text: str | None, types: Mapping[str, pl.DataType], places: Mapping[str, int]) -> Function:
    if text is None:
        raise UnknownError("no data.examples.predict_at")
    schema = pl.LazyFrame(schema=dict(types))
    dtype = derive(schema, {"|moment": text}, key="data.examples.predict_at").collect_schema()["|moment"]
    if dtype != pl.Datetime("us"):
        raise UnknownError(f"data.examples.predict_at is {dtype}")
    return compile_expression(text, types, places)


# --- proof --------------------------------------------------------------------------------------------


def _prove(program: Completion, online: Online, given: Mapping[str, Column]) -> None:
    """Compare with Polars over made rows, half of which have keys that the joined tables hold.

    Raises:
        UnknownError: the cells differ, or none of the rows can be read.
    """
    draw = random.Random(0)  # noqa: S311 - for a comparison, not for a secret
    keys = _collect_keys(online)
    makers = {name: make_cell(draw, column, keys.get(name, [])) for name, column in given.items()}
    frame = to_frame([tuple(make() for make in makers.values()) for _ in range(PROVED_ROWS)], list_types(given))
    made = [{name: _to_json(value) for name, value in row.items()} for row in frame.to_dicts()]
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


def _collect_keys(online: Online) -> dict[str, list[str]]:
    """Texts by which rows are joined."""
    found: dict[str, list[str]] = {}
    for join in online.rows_spec.joins.values():
        for here, there in join.by.items():
            values = online.joined[join.table].select(there).head(1_000).collect().to_series()
            if values.dtype == pl.String():
                found.setdefault(here, []).extend(values.drop_nulls().to_list())
    return found


def _to_json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
