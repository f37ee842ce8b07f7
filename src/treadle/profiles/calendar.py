"""Columns that say which day it is: in each week they differ from all others, which is no drift."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_SHARE = 0.5  # of the disagreements that chance would make: clock times are local, days are those of UTC
_LEAST = 40  # disagreements that chance would make, below which too few rows share a day to say anything


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
    return [name for name in wanted if _is_calendar(rows.select(day, pl.col(name).alias("__value__")))]


def _is_calendar(rows: pl.LazyFrame) -> bool:
    """Whether two rows of a day differ far more seldom than two rows of any days.

    That does not depend on how many rows a day has, as the share of the day's most frequent value does:
    of two rows it is a half at least, whatever the column.
    """
    counts = rows.group_by("__day__", "__value__").len("count").collect()
    overall = counts.group_by("__value__").agg(pl.col("count").sum())["count"]
    days = counts.group_by("__day__").agg(
        pl.col("count").sum().alias("rows"),
        (pl.col("count") * (pl.col("count") - 1)).sum().alias("alike"),
    )
    found, further = (
        days.filter(pl.col("rows") > 1)
        .select(
            (pl.col("rows") - 1 - pl.col("alike") / pl.col("rows")).sum(),  # (rows - 1) times the share of unlike pairs
            (pl.col("rows") - 1).sum().alias("further"),
        )
        .row(0)
    )
    by_chance = further * (1 - ((overall / overall.sum()) ** 2).sum())
    return bool(by_chance >= _LEAST and found <= _SHARE * by_chance)
