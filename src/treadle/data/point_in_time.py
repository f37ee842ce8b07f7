"""Point-in-time features: as-of joins and aggregates over a window of the past, of what was known at a prediction.

A row of another table counts for an example only when its `known_at` is not after the example's
`predict_at`. Windows are open at the far end: known in (predict_at - window, predict_at]. The rows that an example
itself is made of never count, whenever they are known: they hold its label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from treadle.data.lazy_frames import collect, narrow_integers, parse
from treadle.data.range_sums import Places, count_ranges, cut_out, sum_ranges
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import AsOf, History
from treadle.schema import KNOWN_AT, PREDICT_AT

_AGGREGATE = re.compile(r"\s*(AVG|SUM|COUNT)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)
_POSITION, _PLACE, _FIRST = "__position", "__place", "__first"


def look_back_asof(
    asked: pl.DataFrame, asof: AsOf, table: pl.LazyFrame, *, own: Sequence[pl.Series], key: str
) -> pl.DataFrame:
    """Columns of the newest row of `table`, of the same keys, that was known by `predict_at`.

    Of rows that became known at the same moment the last in the table's order is taken. An example whose key is
    missing, or whose newest row is older than `within`, gets nulls.

    Args:
        asked: examples sorted by PREDICT_AT.
        asof: what to look up.
        table: with KNOWN_AT.
        own: positions in `table` of rows that an example may not know, each a series with one (or null) an example.
        key: dotted place in the configuration, for errors.

    Returns:
        The new columns alone, one row per example, in the order of `asked`.
    """
    columns = {name: parse(text, table, key=f"{key}.columns.{name}") for name, text in asof.columns.items()}
    values = read_values(table, columns, key=key)
    known = _Known.read(table, asof.by, key=key)
    first, end = known.find(asked, asof.by, key=key)
    newest = _step_over(end - 1, known.place(own))
    found = pl.Series(newest).set(pl.Series(newest < first), None)
    is_old = known.moments.gather(found) < asked[PREDICT_AT] - parse_duration(asof.within)
    return values[known.positions.gather(found).set(is_old, None)]


def look_back_window(
    asked: pl.DataFrame, history: History, table: pl.LazyFrame, *, own: Sequence[pl.Series], key: str
) -> pl.DataFrame:
    """Aggregates over the rows of `table`, of the same keys, that became known within `window` before `predict_at`.

    A value that is missing or not finite (0 / 0, for one) does not count; COUNT takes values of any type. AVG over no
    value is null; SUM and COUNT are then 0. A sum is exact, and rounded once; one too large for a number is null. The
    cost is two sorted joins, and some steps for each row and each example, whatever the windows hold. Arguments and
    order as in `look_back_asof`.
    """
    parsed = {name: parse_aggregate(text, table, key=f"{key}.columns.{name}") for name, text in history.columns.items()}
    known = _Known.read(table, history.by, key=key)
    values = read_values(table, {name: value for name, (_, value) in parsed.items()}, key=key)[known.positions]
    first, end = known.find(asked, history.by, key=key)
    _, start = known.find(asked, history.by, key=key, before=parse_duration(history.window))
    starts, ends = cut_out(np.maximum(start, first), end, known.place(own))
    return pl.DataFrame({name: _aggregate(values[name], parsed[name][0], starts, ends) for name in parsed})


# --- rows by what is known ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Known:
    """The rows that ever become known. A row's place is its rank by keys, then by moment, then by position."""

    by_time: pl.DataFrame  # KNOWN_AT, the keys, _PLACE, and _FIRST: the first place of the same keys
    positions: pl.Series  # in the table, of each place
    moments: pl.Series  # KNOWN_AT, of each place
    places: Places  # of each position in the table; -1: it never becomes known

    @classmethod
    def read(cls, table: pl.LazyFrame, by: Mapping[str, str], *, key: str) -> _Known:
        (rows,) = collect(table.select(KNOWN_AT, **_name_keys(list(by.values()))), key=key)
        known = rows.with_row_index(_POSITION).drop_nulls().sort(KNOWN_AT, maintain_order=True)
        order, first = _order_by_keys(known.select(list(_name_keys(by))))
        by_time = known.with_columns(pl.Series(_PLACE, _invert(order)), pl.Series(_FIRST, first))
        positions = known[_POSITION].gather(order)
        places = np.full(len(rows), -1)
        places[positions] = np.arange(len(known))
        return cls(by_time.drop(_POSITION), positions, known[KNOWN_AT].gather(order), places)

    def find(
        self, asked: pl.DataFrame, by: Mapping[str, str], *, key: str, before: timedelta = timedelta(0)
    ) -> tuple[Places, Places]:
        """The first place of each example's keys, and the place after the last that was known so long before it."""
        moments = asked.lazy().select(pl.col(PREDICT_AT) - before, **_name_keys(list(by)))
        found = moments.join_asof(
            self.by_time.lazy(),
            left_on=PREDICT_AT,
            right_on=KNOWN_AT,
            by=list(_name_keys(by)),
            strategy="backward",
            check_sortedness=False,  # both sides are sorted above; Polars cannot see it through `by`
        )
        (places,) = collect(found.select(pl.col(_FIRST).fill_null(0), pl.col(_PLACE).fill_null(-1) + 1), key=key)
        return places[_FIRST].to_numpy(), places[_PLACE].to_numpy()

    def place(self, own: Sequence[pl.Series]) -> Places:
        """The places `[K, Q]` of rows that are named by their positions; -1 where there is none."""
        found = [np.where(rows.is_null(), -1, self.places[rows.fill_null(0)]) for rows in own]
        return np.stack(found) if found else np.empty((0, 1), dtype=np.int64)


def _name_keys(columns: Iterable[str]) -> dict[str, pl.Expr]:
    """Keys under names that are the same on both sides; without any, all rows have the same."""
    return {f"__{index}": pl.col(name) for index, name in enumerate(columns)} or {"__0": pl.lit(0)}


def _order_by_keys(keys: pl.DataFrame) -> tuple[Places, Places]:
    """Positions of rows in an order in which the same keys stand together; for each row, where its keys begin there."""
    groups = keys.lazy().with_row_index(_POSITION).group_by(keys.columns, maintain_order=True).agg(_POSITION)
    length = pl.col(_POSITION).list.len().cast(pl.Int64)
    ordered = groups.select(_POSITION, (length.cum_sum() - length).alias(_FIRST)).explode(_POSITION).collect()
    order = ordered[_POSITION].cast(pl.Int64).to_numpy()
    return order, ordered[_FIRST].to_numpy()[_invert(order)]


def _invert(order: Places) -> Places:
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def _step_over(newest: Places, own: Places) -> Places:
    """The newest places that are not the example's own."""
    for _ in own:
        newest = newest - (newest == own).any(axis=0)
    return newest


# --- values -------------------------------------------------------------------------------------------


def read_values(table: pl.LazyFrame, columns: Mapping[str, pl.Expr], *, key: str) -> pl.DataFrame:
    """The columns, for each row of the table; a constant has as many rows as it."""
    named = (value.alias(f"new {name}") for name, value in columns.items())
    (values,) = collect(narrow_integers(table.select(KNOWN_AT, *named)), key=key)
    return values.drop(KNOWN_AT).rename({f"new {name}": name for name in columns})


def parse_aggregate(text: str, table: pl.LazyFrame, *, key: str) -> tuple[str, pl.Expr]:
    """The function of an aggregate, and its value in each row; for COUNT 1 where a row counts, else null."""
    match = _AGGREGATE.fullmatch(text)
    if match is None:
        raise TreadleError(f"{key}: {text!r} is not an aggregate; write AVG(…), SUM(…) or COUNT(…)")
    function, inner = match[1].upper(), match[2].strip()
    value = pl.lit(1) if inner == "*" else parse(inner, table, key=key)
    return function, _mark_present(value, table) if function == "COUNT" else value.cast(pl.Float64)


def _mark_present(value: pl.Expr, table: pl.LazyFrame) -> pl.Expr:
    """1 for each value that counts, else null."""
    is_float = table.select(value.alias("value")).collect_schema()["value"].is_float()
    return pl.when(value.is_finite() if is_float else value.is_not_null()).then(1.0)


def _aggregate(values: pl.Series, function: str, starts: Places, ends: Places) -> pl.Series:
    """One aggregate `[Q]` over the finite values in the pieces `[K, Q]` of each range."""
    finite = pl.select(pl.when(values.is_finite()).then(values)).to_series()
    count = pl.Series(count_ranges(finite.is_not_null().to_numpy(), starts, ends))
    if function == "COUNT":
        return count
    total = pl.Series(sum_ranges(finite.fill_null(0.0).to_numpy(), starts, ends))
    found = total if function == "SUM" else (total / count).set(count == 0, None)
    return found.set(~found.is_finite(), None)
