"""SQL as SQLGlot reads it, and as Polars does: nodes and their texts."""

from __future__ import annotations

from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.parsers.duckdb import DuckDBParser

Bounds = tuple[int, int]  # the least and the largest integer that may come out
MAX_LENGTH = 65_536  # of what Polars reads [characters]


class TranslationError(ValueError):
    """An expression that cannot be translated to Polars; the text is the reason."""


class Dialect(DuckDB):
    """Of those that SQLGlot reads, the nearest to what Polars runs."""

    class Tokenizer(DuckDB.Tokenizer):
        """`DIV` is a function here."""

        KEYWORDS: ClassVar = {word: kind for word, kind in DuckDB.Tokenizer.KEYWORDS.items() if word != "DIV"}


class Sql(Dialect):
    """Functions as they are written, so that they come out as they went in."""

    class Parser(DuckDBParser):
        """Only what has a syntax of its own is more than a name with arguments."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar = {
            name: parser
            for name, parser in DuckDBParser.FUNCTION_PARSERS.items()
            if name in {"CAST", "TRY_CAST", "EXTRACT", "TRIM", "SUBSTRING"}
        }

    class Generator(DuckDBGenerator):
        """As Polars reads it."""

        TRANSFORMS: ClassVar = {
            **DuckDBGenerator.TRANSFORMS,
            exp.RegexpLike: lambda self, node: self.binary(node, "~"),
            exp.RegexpILike: lambda self, node: self.binary(node, "~*"),
        }


TYPES = {word: exp.DataType.build(word, dialect=Sql) for word in ("BIGINT", "INT128", "DOUBLE", "TIMESTAMP")}


def write(node: exp.Expr) -> str:
    """The text of a node."""
    return str(node.sql(dialect=Sql))


def embed(node: exp.Expr) -> str:
    """Its text as an operand or argument of another."""
    is_closed = isinstance(node, exp.Column | exp.Literal | exp.Paren | exp.Func) and not isinstance(node, exp.Binary)
    return write(node) if is_closed else f"({write(node)})"


def read(text: str, *, bounds: Bounds | None = None) -> exp.Expr:
    """A node from its text, and the bounds of its integers where they are known.

    Raises:
        TranslationError: the text is too long.
    """
    if len(text) > MAX_LENGTH:
        raise TranslationError("the expression is too large for the engine: split it into several columns")
    node = sqlglot.parse_one(text, dialect=Sql)
    node.meta["bounds"] = bounds
    return node
