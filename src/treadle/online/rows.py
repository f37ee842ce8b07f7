"""Rows of a table as JSON has them, in the declared types: every fault of every row is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import polars as pl
from polars.exceptions import PanicException, PolarsError

from treadle.data.casting import cast_cells, lost_mark
from treadle.data.contract import list_row_rules
from treadle.errors import TreadleError
from treadle.experiment.spec import Column, Table
from treadle.hints import nearest
from treadle.printable import SHOWN, abbreviate

_WHOLE = 1 << 53  # whole numbers up to here are floats, too
_UNREADABLE = (PolarsError, PanicException, TypeError, OverflowError)

Row = Mapping[str, Any]


class Fault(NamedTuple):
    """Why a row cannot be read."""

    row: int  # position, from 0
    column: str | None  # None: the whole row
    value: str | None
    rule: str


class RowsError(TreadleError):
    """Rows that break the contract of their table, with every fault."""

    def __init__(self, table: str, faults: Sequence[Fault]) -> None:
        first = faults[0]
        where = f"data.tables.{table}" + (f".columns.{first.column}" if first.column else "")
        held = "" if first.value is None else f" holds {first.value!r}"
        more = f"; {len(faults) - 1:,} more" if len(faults) > 1 else ""
        super().__init__(f"{where}: {first.rule}; row {first.row + 1}{held}{more}")
        self.faults = list(faults)


def read_rows(rows: Sequence[Any], spec: Table, *, table: str) -> pl.DataFrame:
    """The rows in the declared types; a column that may be missing may be absent.

    Args:
        rows: as JSON has them.
        spec: of the table.
        table: its name, for errors.

    Raises:
        RowsError: rows cannot be read, or break a rule.
    """
    columns = {name: column.model_copy(update={"source": None}) for name, column in spec.columns.items()}
    faults = [fault for place, row in enumerate(rows) for fault in _find_odd(place, row, columns)]
    if faults:
        raise RowsError(table, faults)
    given = {name: [_widen(row.get(name), column) for row in rows] for name, column in columns.items()}
    cells = _cast(given, columns, num_rows=len(rows), table=table)
    faults = sorted([*_find_lost(cells, given, columns), *_find_broken(cells.select(list(columns)), given, columns)])
    if faults:
        raise RowsError(table, faults)
    return cells.select(list(columns))


def _find_odd(place: int, row: Any, columns: Mapping[str, Column]) -> Iterator[Fault]:
    if not isinstance(row, Mapping):
        yield Fault(place, None, abbreviate(row), "must be an object with a value for each column")
        return
    for name, column in columns.items():
        if name not in row:
            if not column.nullable:
                hint = nearest(name, map(str, islice(row, SHOWN)))
                yield Fault(place, name, None, f"the row has no such column. {hint}".strip())
        elif not isinstance(row[name], bool | int | float | str | None):
            yield Fault(place, name, abbreviate(row[name]), "must be a text, a number, true, false or null")


def _widen(value: Any, column: Column) -> Any:
    """JSON writes 39.0 as 39."""
    if column.dtype == "float" and type(value) is int and abs(value) <= _WHOLE:
        return float(value)
    return value


def _cast(
    given: Mapping[str, Sequence[Any]], columns: Mapping[str, Column], *, num_rows: int, table: str
) -> pl.DataFrame:
    """The columns with their marks of lost values; where the types of rows differ, each kind of rows by itself."""
    try:
        frame = pl.DataFrame(given, strict=True)
        return cast_cells(frame.lazy(), columns, schema=frame.schema).collect()
    except _UNREADABLE as error:
        kinds: dict[tuple[type, ...], list[int]] = {}
        for place in range(num_rows):
            kinds.setdefault(tuple(type(values[place]) for values in given.values()), []).append(place)
        if len(kinds) == 1:
            raise RowsError(table, _find_unread(given, columns, error)) from error
    parts, places = [], []
    for kind in kinds.values():
        part = {name: [values[place] for place in kind] for name, values in given.items()}
        parts.append(_cast(part, columns, num_rows=len(kind), table=table))
        places += kind
    return pl.concat(parts, how="vertical_relaxed")[pl.Series(places).arg_sort()]


def _find_unread(
    given: Mapping[str, Sequence[Any]], columns: Mapping[str, Column], error: BaseException
) -> list[Fault]:
    """The values that Polars cannot take at all, such as whole numbers beyond 64 bits."""
    found = []
    for name, column in columns.items():
        for place, value in enumerate(given[name]):
            try:
                frame = pl.DataFrame({name: [value]}, strict=True)
                cast_cells(frame.lazy(), {name: column}, schema=frame.schema).collect()
            except _UNREADABLE:
                found.append(Fault(place, name, abbreviate(value), f"must be of type {column.dtype}"))
    return found or [Fault(0, None, None, f"cannot be read: {abbreviate(str(error).splitlines()[0])}")]


def _find_lost(
    cells: pl.DataFrame, given: Mapping[str, Sequence[Any]], columns: Mapping[str, Column]
) -> Iterator[Fault]:
    for name, column in columns.items():
        for place in cells[lost_mark(name)].arg_true():
            yield Fault(place, name, abbreviate(given[name][place]), f"must be of type {column.dtype}")


def _find_broken(
    cells: pl.DataFrame, given: Mapping[str, Sequence[Any]], columns: Mapping[str, Column]
) -> Iterator[Fault]:
    for rule in list_row_rules(columns):
        (name,) = rule.columns
        for place in cells.select(rule.breaks.alias("broken"))["broken"].arg_true():
            value = given[name][place]
            yield Fault(place, name, None if value is None else abbreviate(value), rule.words)
