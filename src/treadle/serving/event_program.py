"""The event program: what Polars does with an event before the state takes it, compiled to Python.

A lone event takes Polars tens of milliseconds, of which a server has few. The entries are the same, as is compared over
made rows before a program is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from treadle.errors import TreadleError
from treadle.online.feeds import Online
from treadle.online.looks import Look
from treadle.online.state import Prepared
from treadle.online.stores import Entry, Key
from treadle.serving.expressions import Cells, Function, UnknownError, find_kind
from treadle.serving.scalars import round_decimal
from treadle.serving.table_program import KEYS, TableProgram
from treadle.sql.expressions import split_aggregate

MOST = 256  # events at once; Polars is faster with more
PROVED_ROWS = 64  # that a program is compared over when it is made


class EventProgram:
    """Events of one table to what a state takes.

    Args:
        table: a feed.
        online: whose declarations and joined tables it is.

    Raises:
        UnknownError: an event needs what only Polars computes.
    """

    def __init__(self, table: str, online: Online) -> None:
        spec = online.specs[table]
        self.name = table
        self._table = TableProgram(spec, online.joined)
        self._moment = self._table.compile_moment(spec.known_at)
        self._identities = [
            (tag, self._table.compile_keys(columns)) for tag, columns in online.state.list_identities(table)
        ]
        looks = [look for look in online.state.looks if look.table == table]
        self._looks = [(look.name, self._table.compile_keys(look.there), self._compile_values(look)) for look in looks]
        _prove(self, self._table.make_rows(count=PROVED_ROWS, seed=0), online)

    def __call__(self, rows: Sequence[Any]) -> Prepared | None:
        """What the state takes of events as JSON has them; None where only Polars reads, computes or refuses one."""
        if len(rows) > MOST or not all(isinstance(row, dict) for row in rows):
            return None
        try:
            read = [self._table.read(row) for row in rows]
            return self._prepare(read)
        except (ArithmeticError, ValueError):
            return None

    def _prepare(self, rows: Sequence[Cells]) -> Prepared:
        moments = [self._moment(cells) for cells in rows]
        identities = [tuple((tag, *take(cells)) for tag, take in self._identities) for cells in rows]
        entries: list[tuple[str, Key, Entry]] = []
        for look, take_key, values in self._looks:
            for number, cells in enumerate(rows):
                key, moment = take_key(cells), moments[number]
                held = tuple(value(cells) for value in values)  # an expression may fail in any row
                if moment is not None and None not in key:
                    entries.append((look, key, Entry(moment, number, identities[number], held)))
        return Prepared(self.name, pl.Series(moments, dtype=pl.Int64), entries)

    def _compile_values(self, look: Look) -> list[Function]:
        make = self._compile_counted if look.functions else self._compile_kept
        return [make(text) for text in look.columns.values()]

    def _compile_kept(self, text: str) -> Function:
        """The value that an as-of lookup gives."""
        function, dtype = self._table.compile(text), self._table.find_type(text)
        convert = KEYS.get(pl.Int64() if dtype.is_integer() else dtype)
        if convert is None:
            raise UnknownError(f"{text!r}, which is {dtype}")
        return (
            (lambda cells: _require_64_bits(function(cells))) if dtype.is_integer() else lambda c: convert(function(c))
        )

    def _compile_counted(self, text: str) -> Function:
        """The number that an aggregate counts; None where it does not count."""
        name, inner, _ = split_aggregate(text)
        if inner == "*":
            return lambda _: 1.0
        function, kind = self._table.compile(inner), find_kind(self._table.find_type(inner))

        def count(cells: Cells) -> float | None:
            value = function(cells)
            if value is None or (kind == "float" and not math.isfinite(value)):
                return None
            if name == "COUNT":
                return 1.0
            found = round_decimal(value) if kind == "decimal" else float(value)
            return found if math.isfinite(found) else None

        if name != "COUNT" and kind not in {"int", "float", "bool", "decimal"}:
            raise UnknownError(f"{text!r}, of {kind}")
        return count


def _require_64_bits(value: int | None) -> int | None:
    if value is not None and not -(1 << 63) <= value < 1 << 63:
        raise OverflowError  # Polars makes floats of all
    return value


def compile_events(online: Online) -> dict[str, str]:
    """Give a state the programs of its feeds; of those that have none, why.

    Returns:
        The reason of each feed whose events all go through Polars.
    """
    reasons = {}
    for table in online.state.feeds:
        try:
            online.programs[table] = EventProgram(table, online)
        except UnknownError as error:
            reasons[table] = str(error)
    return reasons


def _prove(program: EventProgram, made: Sequence[Mapping[str, Any]], online: Online) -> None:
    """Compare with Polars over made rows.

    Raises:
        UnknownError: what a state would take differs, or none of the rows can be read.
    """
    rows = [row for row in made if program([row]) is not None]
    found = program(rows)
    if not rows or found is None:
        raise UnknownError("no made row can be read")
    try:
        wanted = online.prepare(program.name, rows)
    except TreadleError as error:
        raise UnknownError(str(error)) from error
    if not found.moments.equals(wanted.moments) or found.entries != wanted.entries:
        raise UnknownError("of made rows a state takes something else by Polars")
