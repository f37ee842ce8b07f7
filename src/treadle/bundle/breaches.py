"""Rows to predict that break the contract of the examples' table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from treadle.data.contract import NUM_EXAMPLES, Breach, Rule
from treadle.errors import TreadleError
from treadle.images import describe

SCHEMA = {"position": pl.Int64(), "column": pl.String(), "rule": pl.String(), "value": pl.String()}


class BreachError(TreadleError):
    """Rows that break the contract, each breach with its position, column, rule and value."""

    def __init__(self, breaches: pl.DataFrame, *, num_rows: int) -> None:
        self.breaches = breaches
        fix = "correct them, or predict them nevertheless with on_breach: warn or allow"
        super().__init__(f"{describe_frame(breaches, num_rows=num_rows)}\n{fix}")


class BreachWarning(UserWarning):
    """Warning of rows that break the contract and were predicted nevertheless."""


def find_breaches(rows: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Every breach of every row.

    Args:
        rows: in the types of the training examples.
        rules: of single rows.

    Returns:
        One row per breach, ordered by `position` of the row from 0, with `column`, `rule`, and `value` as text, null if
        it is missing.
    """
    holds = rows.select(rule.holds.alias(str(index)) for index, rule in enumerate(rules)).row(0) if rules else ()
    broken = [rule for rule, held in zip(rules, holds, strict=True) if not held]
    if not broken:
        return pl.DataFrame(schema=SCHEMA)
    return pl.concat([_list_rows(rows, rule) for rule in broken]).sort("position", maintain_order=True)


def _list_rows(rows: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    (name,) = rule.columns
    broken = rows.select(name).with_row_index("position").filter(rule.breaks)
    described = [
        pl.lit(name).alias("column"),
        pl.lit(rule.words).alias("rule"),
        to_text(pl.col(name), rows.schema[name]).alias("value"),
    ]
    return broken.select(pl.col("position").cast(pl.Int64), *described)


def to_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A value as text, of an image its size or why it is none."""
    return value.map_elements(describe, return_dtype=pl.String) if dtype == pl.Binary() else value.cast(pl.String)


def summarize(breaches: pl.DataFrame, *, first: int = 0) -> list[Breach]:
    """Each broken rule of each column, with how many rows break it and the first of them.

    Args:
        breaches: as `find_breaches` lists them.
        first: position of the first of the rows among those that the user knows.
    """
    return [_summarize(part, first) for part in breaches.partition_by("column", "rule", maintain_order=True)]


def _summarize(breaches: pl.DataFrame, first: int) -> Breach:
    _, column, rule, _ = breaches.row(0)
    rows = breaches.head(NUM_EXAMPLES).iter_rows()
    examples = [f"row {first + position + 1:,}: {_show(value)}" for position, *_, value in rows]
    return Breach(column, rule, len(breaches), examples)


def describe_breaches(breaches: Sequence[Breach], *, count: int, num_rows: int) -> str:
    """The number of rows that break the contract, and what each of its rules is broken by."""
    return "\n  ".join([f"{count:,} of {num_rows:,} rows break the contract", *map(str, breaches)])


def describe_frame(breaches: pl.DataFrame, *, num_rows: int) -> str:
    """The same, of the breaches of each row."""
    return describe_breaches(summarize(breaches), count=breaches["position"].n_unique(), num_rows=num_rows)


def _show(value: Any) -> str:
    return "missing" if value is None else repr(value)
