"""What was known at the moment of a prediction: as-of columns and aggregates over a window of the past.

A row of another table counts for an example only when its `known_at` is not after the example's
`predict_at`. Windows are open at the far end: known in (predict_at - window, predict_at].
"""

from __future__ import annotations

import re
from datetime import timedelta

import polars as pl

from treadle.data.sql import parse
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import AsOf, History
from treadle.schema import KNOWN_AT, PREDICT_AT, TreadleError

_AGGREGATE = re.compile(r"\s*(AVG|SUM|COUNT)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)


def look_back_asof(asked: pl.LazyFrame, asof: AsOf, table: pl.LazyFrame, *, key: str) -> pl.LazyFrame:
    """Columns of the newest row of `table`, of the same keys, that was known by `predict_at`.

    Of rows that became known at the same moment the last in the table's order is taken. An example whose key is
    missing, or whose newest row is older than `within`, gets nulls.

    Args:
        asked: examples sorted by PREDICT_AT.
        asof: what to look up.
        table: with KNOWN_AT.
        key: dotted place in the configuration, for errors.

    Returns:
        The new columns alone, one row per example, in the order of `asked`.
    """
    by = [f"__{index}" for index in range(len(asof.by))]
    columns = [parse(text, key=f"{key}.columns.{name}").alias(f"new {name}") for name, text in asof.columns.items()]
    known = _take_known(table, list(asof.by.values()), columns)
    here = [pl.col(name).alias(by[index]) for index, name in enumerate(asof.by)]
    found = _join_asof(asked.select(PREDICT_AT, *here), known, by, within=parse_duration(asof.within))
    return found.select(pl.col(f"new {name}").alias(name) for name in asof.columns)


def look_back_window(asked: pl.LazyFrame, history: History, table: pl.LazyFrame, *, key: str) -> pl.LazyFrame:
    """Aggregates over the rows of `table`, of the same keys, that became known within `window` before `predict_at`.

    Sums of a window are differences of running sums, looked up as of its two ends: the cost is two sorted joins,
    whatever the width of the window. AVG over no value is null; SUM and COUNT are then 0. Arguments and order as
    in `look_back_asof`.
    """
    by = [f"__{index}" for index in range(len(history.by))]
    parsed = {name: _parse_aggregate(text, key=f"{key}.columns.{name}") for name, text in history.columns.items()}
    values = [value.cast(pl.Float64).alias(name) for name, (_, value) in parsed.items()]
    known = _take_known(table, list(history.by.values()), values)
    totals = [pl.col(name).fill_null(0.0).cum_sum().over(by).alias(f"sum {name}") for name in parsed]
    counts = [pl.col(name).is_not_null().cast(pl.Int64).cum_sum().over(by).alias(f"count {name}") for name in parsed]
    running = known.select(KNOWN_AT, *by, *totals, *counts)

    here = [pl.col(name).alias(by[index]) for index, name in enumerate(history.by)]
    until = asked.select(PREDICT_AT, *here)
    before = until.with_columns(pl.col(PREDICT_AT) - parse_duration(history.window))
    sums = [f"{what} {name}" for name in parsed for what in ("sum", "count")]
    at_end = _join_asof(until, running, by, within=None).select(sums)
    at_start = _join_asof(before, running, by, within=None).select(pl.col(s).alias(f"{s} before") for s in sums)
    both = pl.concat([at_end, at_start], how="horizontal")
    return both.select(_combine(name, function) for name, (function, _) in parsed.items())


def _take_known(table: pl.LazyFrame, by: list[str], columns: list[pl.Expr]) -> pl.LazyFrame:
    keys = [pl.col(name).alias(f"__{index}") for index, name in enumerate(by)]
    known = table.filter(pl.col(KNOWN_AT).is_not_null()).select(pl.col(KNOWN_AT), *keys, *columns)
    return known.drop_nulls([f"__{index}" for index in range(len(by))]).sort(KNOWN_AT, maintain_order=True)


def _join_asof(asked: pl.LazyFrame, known: pl.LazyFrame, by: list[str], *, within: timedelta | None) -> pl.LazyFrame:
    return asked.join_asof(
        known,
        left_on=PREDICT_AT,
        right_on=KNOWN_AT,
        by=by,
        strategy="backward",
        tolerance=within,
        check_sortedness=False,  # both sides are sorted above; Polars cannot see it through `by`
    )


def _parse_aggregate(text: str, *, key: str) -> tuple[str, pl.Expr]:
    match = _AGGREGATE.fullmatch(text)
    if match is None:
        raise TreadleError(f"{key}: {text!r} is not an aggregate; write AVG(…), SUM(…) or COUNT(…)")
    inner = match[2].strip()
    return match[1].upper(), pl.lit(1) if inner == "*" else parse(inner, key=key)


def _combine(name: str, function: str) -> pl.Expr:
    total, count = (
        pl.col(f"{what} {name}").fill_null(0) - pl.col(f"{what} {name} before").fill_null(0)
        for what in ("sum", "count")
    )
    if function == "COUNT":
        return count.cast(pl.Float64).alias(name)
    if function == "SUM":
        return total.alias(name)
    return pl.when(count > 0).then(total / count).alias(name)
