"""Columns that the blocks of features take: those of the examples, and those that expressions derive from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import polars as pl
from polars.exceptions import PolarsError

from treadle.errors import TreadleError
from treadle.experiment.spec import Features
from treadle.hints import nearest
from treadle.sql.dialect import TranslationError
from treadle.sql.expressions import list_columns
from treadle.sql.translate import Schema, to_expr


class DerivedColumns:
    """The expressions of `features.derive`, and what the blocks take of them."""

    def __init__(self, spec: Features) -> None:
        self._derive = spec.derive
        self._levels = _plan(spec.derive)
        self._taken = [
            (f"features.blocks.{name}.columns", column)
            for name, block in spec.blocks.items()
            for column in block.columns
        ]

    def compute(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns that the blocks take, derived ones included.

        Raises:
            TreadleError: an expression does not fit the columns, or there is no such column.
        """
        lazy = frame.lazy()
        for level in self._levels:
            schema = cache(lazy.collect_schema)
            lazy = lazy.with_columns(_read_expression(name, self._derive[name], schema) for name in level)
        try:
            present = lazy.collect_schema().names()
            for key, column in self._taken:
                if column not in present:
                    raise TreadleError(f"{key}: no column {column!r}. {nearest(column, present)}")
            return lazy.select(list(dict.fromkeys(column for _, column in self._taken))).collect()
        except PolarsError as error:
            reason = str(error).split("\n\n", 1)[0]
            raise TreadleError(f"features.derive: the expressions do not fit the columns: {reason}") from error

    def order(self) -> list[str]:
        """The derived columns that the blocks need, each behind those that it reads."""
        needed = {column for _, column in self._taken}
        for name in [name for level in reversed(self._levels) for name in level]:
            needed.update(list_columns(self._derive[name]) if name in needed else [])
        return [name for level in self._levels for name in level if name in needed]

    def find_type(self, name: str, schema: Schema) -> pl.DataType:
        """The type of a derived column, of columns of these types."""
        rows = pl.LazyFrame(schema=schema)
        return rows.select(_read_expression(name, self._derive[name], lambda: schema)).collect_schema()[name]


def _plan(derive: Mapping[str, str]) -> list[list[str]]:
    """Derived columns by what they need: none of a level reads another, so that the engine takes each level at once."""
    levels: dict[str, int] = {}
    for name, text in derive.items():
        levels[name] = 1 + max((levels.get(column, -1) for column in list_columns(text)), default=-1)
    return [[name for name in derive if levels[name] == level] for level in range(max(levels.values(), default=-1) + 1)]


def _read_expression(name: str, text: str, read_schema: Callable[[], Schema]) -> pl.Expr:
    try:
        return to_expr(text, read_schema).alias(name)
    except (PolarsError, TranslationError) as error:
        raise TreadleError(f"features.derive.{name}: {text!r} is not an SQL expression: {error}") from error
