"""SQL as DuckDB and PostgreSQL mean it, to Polars: the engine's own functions where they agree, others in other words.

Polars computes in the type of the columns, so that `a * a` of 64-bit integers wraps around, `EXTRACT(HOUR FROM t) * 60`
of an 8-bit one at 127, and `LENGTH(s) - 5` of a shorter text is four thousand million. Here every integer operation
has the narrowest of three types that holds each possible result: 64 bits, 128 bits, or a float. What else means
another thing in Polars (ROUND, LOG, POWER, STRPOS of null, …) is written so that it means the same; a test holds each
function against DuckDB. What cannot be written so is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from treadle.sql.dialect import Bounds, Sql, write
from treadle.sql.functions import RULES, is_translated
from treadle.sql.types import Types

Schema = Mapping[str, pl.DataType]
NO_BOUNDS: Mapping[str, Bounds] = MappingProxyType({})


@dataclass(frozen=True)
class Translated:
    """An expression as Polars reads it, and the least and the largest integer that it may give."""

    text: str
    bounds: Bounds | None = None

    @property
    def expr(self) -> pl.Expr:
        """The Polars expression.

        Raises:
            PolarsError: it is none.
        """
        return pl.sql_expr(self.text)


def translate(text: str, read_schema: Callable[[], Schema], bounds: Mapping[str, Bounds] = NO_BOUNDS) -> Translated:
    """An SQL expression for Polars.

    Args:
        text: the expression.
        read_schema: gives the types of the columns; asked only where the meaning depends on them.
        bounds: of columns that hold less than their type could.

    Raises:
        TranslationError: it has no equal in Polars.
    """
    columns = _list_columns(text)
    if columns is None:
        return Translated(text)
    schema = read_schema() if columns else {}
    return _translate(text, tuple((name, schema[name], bounds.get(name)) for name in columns if name in schema))


def to_expr(text: str, read_schema: Callable[[], Schema]) -> pl.Expr:
    """The Polars expression of an SQL expression; arguments as in `translate`.

    Raises:
        PolarsError: it is none.
        TranslationError: it has no equal in Polars.
    """
    return translate(text, read_schema).expr


@cache
def _list_columns(text: str) -> tuple[str, ...] | None:
    """The columns that an expression reads; None where it means the same to Polars, or is no expression."""
    try:
        tree = sqlglot.parse_one(text, dialect=Sql)
    except SqlglotError:
        return None  # Polars says what is wrong
    if not any(is_translated(node) for node in tree.walk()):
        return None
    return tuple(sorted({column.name for column in tree.find_all(exp.Column)}))


@cache
def _translate(text: str, columns: tuple[tuple[str, pl.DataType, Bounds | None], ...]) -> Translated:
    types = Types(columns)
    node = _visit(sqlglot.parse_one(text, dialect=Sql), types)
    return Translated(write(node), types.find_bounds(node))


def _visit(node: exp.Expr, types: Types) -> exp.Expr:
    """The node as Polars is to read it, from its leaves on."""
    if isinstance(node, exp.Column | exp.Literal | exp.Interval | exp.DataType):
        return node
    for name, child in list(node.args.items()):
        if isinstance(child, exp.Expr):
            node.set(name, _visit(child, types))
        elif isinstance(child, list):
            node.set(name, [_visit(item, types) if isinstance(item, exp.Expr) else item for item in child])
    rule = RULES.get(type(node))
    return node if rule is None else rule(types, node)
