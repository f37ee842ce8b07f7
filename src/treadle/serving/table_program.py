"""A table's rows as a server gets them, read, joined and derived without Polars: compiled to functions of one row.

Queries of a few cells take Polars tens of milliseconds for one row; functions and dictionaries take a tenth of one.
A row that holds anything odd raises an `ArithmeticError` or a `ValueError`: it goes the way through Polars, which also
words the errors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import polars as pl

from treadle.data.lazy_frames import collect, derive, narrow_integers
from treadle.data.tables import open_lookup
from treadle.errors import TreadleError
from treadle.experiment.spec import Join, Table
from treadle.online.state import EPOCH
from treadle.serving.expressions import Cells, Function, UnknownError, compile_expression
from treadle.serving.readers import Check, OddError, Reader, list_types, make_check, make_reader, to_cells, to_frame
from treadle.serving.row import make_cell


def _keep(cell: Any) -> Any:
    return cell


# Types of keys, and how a cell becomes the value that a state holds.
KEYS: dict[pl.DataType, Callable[[Any], Any]] = {
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


class TableProgram:
    """Rows of a table to cells, those of joined and derived columns among them.

    Args:
        spec: of the table.
        joined: the tables that it is joined with, by name.

    Raises:
        UnknownError: the table holds what only Polars computes.
    """

    def __init__(self, spec: Table, joined: Mapping[str, pl.LazyFrame]) -> None:
        self._spec, self._joined = spec, joined
        self._given = {name: column.model_copy(update={"source": None}) for name, column in spec.columns.items()}
        self._fields = [_Field(n, make_reader(c), make_check(c), c.nullable) for n, c in self._given.items()]
        self.types = list_types(self._given)  # of each column; joined and derived ones are added
        self._lookups = [_compile_join(join, joined[join.table], self.types) for join in spec.joins.values()]
        self._derived = _compile_derived(spec, self.types)
        self.places = {name: place for place, name in enumerate(self.types)}

    def read(self, row: Mapping[str, Any]) -> Cells:
        """The cells of a row as JSON has it, by `places`.

        Raises:
            ArithmeticError: it holds what only Polars reads, computes or refuses.
            ValueError: likewise.
        """
        cells = [self._read(field, row) for field in self._fields]
        for lookup in self._lookups:
            cells += lookup.rows.get(tuple(cells[place] for place in lookup.here), lookup.absent)
        for function in self._derived:
            cells.append(function(cells))  # one may read those before it
        return cells

    def _read(self, field: _Field, row: Mapping[str, Any]) -> Any:
        if field.name not in row and not field.nullable:
            raise OddError
        cell = field.read(row.get(field.name))
        if field.check is not None and field.check(cell):
            raise OddError
        return cell

    def find_type(self, text: str) -> pl.DataType:
        """Of an expression over the columns."""
        return derive(pl.LazyFrame(schema=self.types), {"|": text}, key="expression").collect_schema()["|"]

    def compile(self, text: str) -> Function:
        """An expression over the columns; errors as of `TableProgram`."""
        return compile_expression(text, self.types, self.places)

    def compile_moment(self, text: str | None) -> Function:
        """An expression that gives a moment; errors as of `TableProgram`."""
        if text is None:
            raise UnknownError("rows without a moment")
        if (dtype := self.find_type(text)) != pl.Datetime("us"):
            raise UnknownError(f"{text!r}, which is {dtype} instead of a moment")
        return self.compile(text)

    def compile_keys(self, names: Sequence[str]) -> Function:
        """The values of columns as a state holds them, as a tuple; errors as of `TableProgram`."""
        if odd := [name for name in names if self.types[name] not in KEYS]:
            raise UnknownError(f"the key {odd[0]!r} is {self.types[odd[0]]}")
        found = [(self.places[name], KEYS[self.types[name]]) for name in names]
        return lambda cells: tuple(convert(cells[place]) for place, convert in found)

    def make_rows(self, *, count: int, seed: int) -> list[dict[str, Any]]:
        """Rows that the contract allows as JSON has them, for a comparison; some have keys of the joined tables."""
        draw = random.Random(seed)  # noqa: S311 - for a comparison, not for a secret
        keys = self._collect_keys()
        makers = [make_cell(draw, column, keys.get(name, [])) for name, column in self._given.items()]
        cells = [tuple(make() for make in makers) for _ in range(count)]
        rows = to_frame(cells, list_types(self._given)).to_dicts()
        return [{name: _to_json(value) for name, value in row.items()} for row in rows]

    def _collect_keys(self) -> dict[str, list[str]]:
        """Texts by which rows are joined."""
        found: dict[str, list[str]] = {}
        for join in self._spec.joins.values():
            for here, there in join.by.items():
                values = self._joined[join.table].select(there).head(1_000).collect().to_series()
                if values.dtype == pl.String():
                    found.setdefault(here, []).extend(values.drop_nulls().to_list())
        return found


def _compile_join(join: Join, other: pl.LazyFrame, types: dict[str, pl.DataType]) -> _Lookup:
    """The rows of the joined table by key; `types` gets its columns."""
    places = {name: place for place, name in enumerate(types)}
    try:
        (values,) = collect(narrow_integers(open_lookup(join, other, key="a join")), key="a join")
    except TreadleError as error:
        raise UnknownError(str(error)) from error
    keys = values.columns[: len(join.by)]
    for here, there in zip(join.by, keys, strict=True):
        if types[here] not in KEYS or values[there].dtype != types[here]:
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


def _to_json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
