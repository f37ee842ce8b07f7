"""Translation of SQL with the semantics of DuckDB and PostgreSQL to Polars, by rewriting what differs in Polars.

Polars computes in the type of the columns: `a * a` of 64-bit integers overflows, as `EXTRACT(HOUR FROM t) * 60` does at
127 in 8 bits, and `LENGTH(s) - 5` of a shorter string gives about 4e9. Here every integer operation has the narrowest
of three types that holds each possible result: 64 bits, 128 bits, or a float. Other functions whose semantics differ in
Polars (ROUND, LOG, POWER, STRPOS of null, …) are rewritten; a test compares each function with DuckDB. What cannot be
rewritten is refused.
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
    """An expression in the SQL of Polars, with its smallest and largest possible integer."""

    text: str
    bounds: Bounds | None = None

    @property
    def expr(self) -> pl.Expr:
        """The Polars expression.

        Raises:
            PolarsError: it is invalid.
        """
        return pl.sql_expr(self.text)


def translate(text: str, read_schema: Callable[[], Schema], bounds: Mapping[str, Bounds] = NO_BOUNDS) -> Translated:
    """Translate an SQL expression for Polars.

    Args:
        text: the expression.
        read_schema: returns the types of the columns; called only if the translation depends on them.
        bounds: of columns whose values cover less than the range of their type.

    Raises:
        TranslationError: it cannot be translated.
    """
    columns = _list_columns(text)
    if columns is None:
        return Translated(text)
    schema = read_schema() if columns else {}
    return _translate(text, tuple((name, schema[name], bounds.get(name)) for name in columns if name in schema))


def to_expr(text: str, read_schema: Callable[[], Schema]) -> pl.Expr:
    """The Polars expression of an SQL expression; arguments as in `translate`.

    Raises:
        PolarsError: it is invalid.
        TranslationError: it cannot be translated.
    """
    return translate(text, read_schema).expr


@cache
def _list_columns(text: str) -> tuple[str, ...] | None:
    """The columns that an expression reads; None if it needs no translation, or is invalid."""
    try:
        tree = sqlglot.parse_one(text, dialect=Sql)
    except SqlglotError:
        return None  # Polars reports what is wrong
    if not any(is_translated(node) for node in tree.walk()):
        return None
    return tuple(sorted({column.name for column in tree.find_all(exp.Column)}))


@cache
def _translate(text: str, columns: tuple[tuple[str, pl.DataType, Bounds | None], ...]) -> Translated:
    types = Types(columns)
    node = _visit(sqlglot.parse_one(text, dialect=Sql), types)
    return Translated(write(node), types.find_bounds(node))


def _visit(node: exp.Expr, types: Types) -> exp.Expr:
    """The translated node, from its leaves up."""
    if isinstance(node, exp.Column | exp.Literal | exp.Interval | exp.DataType):
        return node
    for name, child in list(node.args.items()):
        if isinstance(child, exp.Expr):
            node.set(name, _visit(child, types))
        elif isinstance(child, list):
            node.set(name, [_visit(item, types) if isinstance(item, exp.Expr) else item for item in child])
    rule = RULES.get(type(node))
    return node if rule is None else rule(types, node)
