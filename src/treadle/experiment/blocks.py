"""Which examples hang together: the blocks over which an evaluation resamples."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, NamedTuple

from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Data, GroupSplit

ROW, PERIODS = "row", ("day", "week", "month")  # besides them: a column of the examples
_LENGTHS = (timedelta(days=1), timedelta(days=7))  # of the periods but the last


class Unit(NamedTuple):
    """What a block is."""

    name: str
    kind: Literal["row", "period", "column"]  # a column may have the name of a period


def list_example_columns(data: Data) -> list[str]:
    """The columns of the examples: what is known of each, and what was looked up in the past."""
    spec = data.examples
    looks = [look.columns for look in spec.asof.values()] + [look.columns for look in spec.history.values()]
    return list(dict.fromkeys([*spec.known, *(name for columns in looks for name in columns)]))


def settle_blocks(blocks: str, data: Data) -> Unit:
    """The blocks of a setting: rows or a period where it has that name, else a column.

    `auto` is the group of the split, else days where the examples have a time, else rows. Forecasts from two origins
    that are nearer than the horizon have labels in common: there it is the first of day, week and month that is as long
    as the horizon, or else the month.

    A group that the examples do not hold cannot be one; `treadle check` warns of it.
    """
    if blocks != "auto":
        return Unit(blocks, "row" if blocks == ROW else "period" if blocks in PERIODS else "column")
    group = get_group(data)
    if group is not None and group in list_example_columns(data):
        return Unit(group, "column")
    if data.examples.predict_at is None:
        return Unit(ROW, "row")
    forecast = data.forecast
    ahead = timedelta(0) if forecast is None else forecast.horizon * parse_duration(forecast.frequency)
    return Unit(PERIODS[sum(length < ahead for length in _LENGTHS)], "period")


def get_group(data: Data) -> str | None:
    """The column that the split keeps together; None if there is none."""
    return data.split.column if isinstance(data.split, GroupSplit) else None
