"""Columns that say which day it is: in each week they differ from all others, which is no drift."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_SHARE = 0.75  # of the rows of a day that have one value: clock times are local, days are those of UTC
_COUNT = "__count__"


def find_calendar(rows: pl.LazyFrame, names: Sequence[str], *, time: str) -> list[str]:
    """The columns that have one value on a day, and others on other days: month, day, day of the week, UTC offset.

    Args:
        rows: of the reference.
        names: of the columns to judge; those of fractions are none.
        time: the column of time.
    """
    schema = rows.collect_schema()
    day = pl.col(time).dt.truncate("1d").alias("__day__")
    wanted = [name for name in names if schema[name].is_integer() or schema[name] in (pl.String, pl.Boolean)]
    return [name for name in wanted if _is_calendar(rows.select(day, name), name)]


def _is_calendar(rows: pl.LazyFrame, name: str) -> bool:
    counted = rows.group_by("__day__", name).agg(pl.len().alias(_COUNT))
    ordered = counted.sort(_COUNT, name, descending=[True, False])
    days = ordered.group_by("__day__").agg(
        pl.col(name).first(), (pl.col(_COUNT).first() / pl.col(_COUNT).sum()).alias("share")
    )
    shares, values = days.select(pl.col("share").mean(), pl.col(name).n_unique()).collect().row(0)
    return bool(shares is not None and shares >= _SHARE and values > 1)
