"""Which row a label is for: ids and keys as text in which equal ones are alike, in whatever types files have them."""

from __future__ import annotations

import polars as pl

from treadle.data.datetime_formats import read_moment
from treadle.experiment.spec import Column

_WHOLE = r"^\s*\+?(-?)0*(\d+)(?:\.0*)?\s*$"  # of a number: 1545, 1545.0, 01545
_DATED = r"^\d{4}-\d\d-\d\d"
_INTEGRAL = 2.0**62  # below which a float is written as an integer
_ISO = Column(dtype="datetime")


def write_key(name: str, *, is_number: bool) -> pl.Expr:
    """A column as text, for comparison: 1545 and 1545.0 are one number, 08:00Z and 10:00+02:00 one moment.

    Args:
        name: of the column.
        is_number: whether it holds numbers; else a text counts as it is, except for moments in ISO 8601.
    """
    text = pl.col(name).cast(pl.String)
    return _write_number(text) if is_number else _write_moment(text)


def write_loose_key(name: str) -> pl.Expr:
    """As `write_key`, where nothing says whether texts are numbers: 01545 is 1545, too."""
    text = pl.col(name).cast(pl.String)
    return pl.when(text.str.contains(_DATED)).then(_write_moment(text)).otherwise(_write_number(text))


def read_moments(text: pl.Expr) -> pl.Expr:
    """Texts in ISO 8601 as moments in UTC, without a zone; null where one is none."""
    return read_moment(text, _ISO)


def _write_number(text: pl.Expr) -> pl.Expr:
    number = text.cast(pl.Float64, strict=False)
    is_integral = (number.floor() == number) & (number.abs() < _INTEGRAL)
    return (
        pl.when(text.str.contains(_WHOLE))  # digits as they are: an id may have more than a float holds
        .then(text.str.replace(_WHOLE, "${1}${2}"))
        .when(is_integral)
        .then(number.cast(pl.Int64, strict=False).cast(pl.String))
        .otherwise(pl.coalesce(number.cast(pl.String), text))
    )


def _write_moment(text: pl.Expr) -> pl.Expr:
    dated = pl.when(text.str.contains(_DATED)).then(text)  # few columns of ids are, and reading costs
    return pl.coalesce(read_moments(dated).cast(pl.String), text)
