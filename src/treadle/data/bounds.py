"""Bounds and allowed values of a column, in the column's own type: the same for check, training and serving."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Any

import polars as pl

from treadle.data.casting import cast_cells
from treadle.experiment.durations import parse_moment
from treadle.experiment.spec import Column, Value

ORDERED = ("int", "float", "date", "datetime", "time")  # types whose values have a smallest and a largest one
DATED = ("date", "datetime")  # types whose values have an age
_INT64 = range(-(2**63), 2**63)


def read_value(value: Value, column: Column) -> Any:
    """A value of the configuration as the column's rows hold it.

    Raises:
        ValueError: it is not of the column's type.
    """
    return _READERS[column.dtype](value)


def read_bound(value: Value, column: Column) -> Any:
    """A bound as the column's rows can be compared with it: as `read_value`, but that of an int may have a fraction.

    Raises:
        ValueError: rows of the column cannot be compared with it.
    """
    return _read_float(value) if column.dtype == "int" and isinstance(value, float) else read_value(value, column)


def read_texts(texts: Sequence[str], *, dtype: str) -> pl.Series:
    """Texts of the configuration as values of a type, as the cells of a text file are read.

    Raises:
        ValueError: one is no value of the type.
    """
    column = Column.model_validate({"dtype": dtype})
    rows = pl.DataFrame({"value": texts}, schema={"value": pl.String()})
    cells = cast_cells(rows.lazy(), {"value": column}, schema=rows.schema).collect()
    lost = cells["value"].is_null().arg_true()
    if len(lost):
        raise ValueError(f"{texts[lost[0]]!r} is no {dtype}")
    return cells["value"]


def _read_int(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number, without quotes")  # noqa: TRY004 - a mistake of the user's
    if value not in _INT64:
        raise ValueError("must be a number of 64 bits, as those of the column are")
    return value


def _read_float(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number, without quotes")  # noqa: TRY004 - as above
    if isinstance(value, int) and abs(value) > 2**1023:
        raise ValueError("must be a number that a float can hold")
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return float(value)


def _read_bool(value: Value) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false, without quotes")  # noqa: TRY004 - as above
    return value


def _read_text(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text: put it in quotes, since YAML takes 010, 12:30 and no for other values")  # noqa: TRY004 - as above
    return value


def _read_date(value: Value) -> date:
    try:
        return date.fromisoformat(_read_text(value))
    except ValueError:
        raise ValueError('must be a date in quotes, such as "2013-09-01"') from None


def _read_moment(value: Value) -> datetime:
    try:
        return parse_moment(_read_text(value))
    except ValueError:
        raise ValueError('must be a moment in quotes, such as "2013-09-01" or "2013-09-01T13:45"') from None


def _read_time(value: Value) -> time:
    try:
        read = time.fromisoformat(_read_text(value))
    except ValueError:
        raise ValueError('must be a time of day in quotes, such as "13:45"') from None
    if read.tzinfo is not None:
        raise ValueError('must be a time of day without an offset, such as "13:45", as those of the column are')
    return read


_READERS: dict[str, Callable[[Value], Any]] = {
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "str": _read_text,
    "text": _read_text,
    "image": _read_text,
    "date": _read_date,
    "datetime": _read_moment,
    "time": _read_time,
}
