"""SQL expressions over columns, run by Polars."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from polars.exceptions import PolarsError

from treadle.schema import TreadleError


def parse(text: str, *, key: str) -> pl.Expr:
    """One row-wise SQL expression.

    Raises:
        TreadleError: the text is not an expression that Polars knows.
    """
    try:
        return pl.sql_expr(text)
    except PolarsError as error:
        raise TreadleError(f"{key}: {text!r} is not an SQL expression: {error}") from error


def derive(frame: pl.LazyFrame, expressions: Mapping[str, str], *, key: str) -> pl.LazyFrame:
    """Add columns in order; each may use the ones before it."""
    for name, text in expressions.items():
        frame = frame.with_columns(parse(text, key=f"{key}.{name}").alias(name))
    return frame


def collect(*frames: pl.LazyFrame, key: str) -> list[pl.DataFrame]:
    """Run plans together; a column or a type that does not fit is the configuration's mistake, named by `key`."""
    try:
        return pl.collect_all(frames)
    except PolarsError as error:
        reason = str(error).split("\n\n", 1)[0]
        raise TreadleError(f"{key}: the expressions do not fit the columns: {reason}") from error
