"""Date and time formats: a strptime-like format, ISO 8601, or a Unix epoch, parsed to dates, moments, times of day."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import polars as pl
from polars.exceptions import PanicException, PolarsError

from treadle.experiment.spec import Column

MOMENT = pl.Datetime("us")
HEAD = 1 << 10  # first texts of a column, by which repetition is estimated
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # of an epoch, in a second
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2000, 2100))  # that a number likely means

_DATE = r"^\d{4}-\d\d-\d\d$"
_MINUTE, _OFFSET = r"\d{4}-\d\d-\d\d_\d\d:\d\d", r" ?(Z|UTC|GMT|[+-]\d\d(:?\d\d)?)"
# Each text has one shape at most, and is parsed by the format of that shape alone: parsing is what costs.
_SHAPES = {
    rf"{_MINUTE}:[0-5]\dZ": "%Y-%m-%d_%H:%M:%SZ",
    rf"{_MINUTE}:\d\d": "%Y-%m-%d_%H:%M:%S",
    rf"{_MINUTE}:\d\d\.\d{{1,9}}": "%Y-%m-%d_%H:%M:%S%.f",
    rf"{_MINUTE}": "%Y-%m-%d_%H:%M",
    rf"{_MINUTE}{_OFFSET}": "%Y-%m-%d_%H:%M%#z",
    rf"{_MINUTE}:\d\d(\.\d{{1,9}})?{_OFFSET}": "%Y-%m-%d_%H:%M:%S%.f%#z",
}
_MOMENTS = {
    f"^{shape.replace('_', separator)}$": form.replace("_", separator)
    for separator in "T "
    for shape, form in _SHAPES.items()
} | {_DATE: "%Y-%m-%d"}
_TIME = r"^\d{1,2}:\d\d(:\d\d(\.\d{1,9})?)?$"
_FIELD = re.compile(r"%[-_0]?(.)")  # of a format: "%d", and "%-d" with another padding
_MONTH = frozenset("mbBhq")  # fields that name a month, or a quarter by its first one
_COARSE = _MONTH | frozenset("YyC%nt")  # those of a date that names no day; %%, %n, %t are literal
_QUARTER = {"%Y": r"(?P<year>\d{4})", "%q": "(?P<quarter>[1-4])"}
_MAX_YEARS = 8_000  # around 1970, in which a moment since then lies
_SAMPLE = datetime(2021, 3, 17, 13, 45, 56, tzinfo=UTC)  # no two of its parts are alike, nor the first of anything


def read_moment(text: pl.Expr, column: Column) -> pl.Expr:
    """The texts as the column's type: "date", "datetime" or "time". A text without an offset is taken as UTC."""
    if column.epoch is not None:
        return read_epoch(text.cast(pl.Float64, strict=False), unit=column.epoch)
    match column.dtype:
        case "time":
            return _read_time(text, column.format)
        case "date":
            return _read_date(text, column.format)
        case _:
            return _read_datetime(text, column.format)


def guess_unit(number: float) -> str | None:
    """The unit since 1970 in which a number is a moment from 2000 to 2099; None where it is in none.

    >>> guess_unit(1_577_836_800), guess_unit(1_577_836_800_000), guess_unit(42)
    ('s', 'ms', None)
    """
    return next((unit for unit, times in UNITS.items() if _FIRST <= number / times < _LAST), None)


def read_epoch(value: pl.Expr, *, unit: str) -> pl.Expr:
    """Moments from what has passed since 1970 in a unit of `UNITS`; null where that is out of every calendar."""
    seconds = value.cast(pl.Float64) / UNITS[unit]
    micros = value.cast(pl.Float64) * (1_000_000 / UNITS[unit])
    most = _MAX_YEARS * 365 * 86_400
    return pl.when(seconds.is_between(-most, most)).then(micros.round()).cast(pl.Int64).cast(MOMENT)


def reads_back(column: Column) -> bool:
    """Whether the column's `format` can be parsed: a date, or a time of day, that is written by it comes back.

    The name of a time zone ("%Z") does not: which offset it means differs from place to place.
    """
    text = column.format or ""
    if "%Z" in text:
        return False
    sample = _SAMPLE.replace(month=1, day=1) if is_coarse(text) else _SAMPLE
    try:
        written = pl.Series([sample], dtype=pl.Datetime("us", "UTC")).dt.to_string(text)
        read = pl.select(read_moment(pl.lit(written), column)).item()
    except (PolarsError, PanicException):
        return False
    if read is None:
        return False
    if column.dtype == "time":
        return bool((read.hour, read.minute) == (sample.hour, sample.minute))
    return bool((read.year, read.month, read.day) == (sample.year, sample.month, sample.day))


def is_coarse(form: str | None) -> bool:
    """Whether a date of this format names no day: a month, a quarter or a year, which stands for its first day."""
    return form is not None and _COARSE.issuperset(_FIELD.findall(form))


# --- by a format --------------------------------------------------------------------------------------


def _read_date(text: pl.Expr, form: str | None) -> pl.Expr:
    if form is None:
        return pl.when(text.str.contains(_DATE)).then(text).str.to_date("%Y-%m-%d", strict=False)
    if form is not None and is_coarse(form):
        return _read_first_day(text, form)
    return text.str.to_date(form, strict=False)


def _read_first_day(text: pl.Expr, form: str) -> pl.Expr:
    if "%q" in form:
        parts = (_QUARTER.get(part, re.escape(part)) for part in re.split(r"(%[Yq])", form))
        found = text.str.extract_groups(f"^{''.join(parts)}$")
        month = found.struct.field("quarter").cast(pl.Int8) * 3 - 2
        return pl.date(found.struct.field("year").cast(pl.Int32), month, 1)
    rest, asked = (" 01 01", " %m %d") if _MONTH.isdisjoint(_FIELD.findall(form)) else (" 01", " %d")
    return (text + rest).str.to_date(form + asked, strict=False)


def _read_datetime(text: pl.Expr, form: str | None) -> pl.Expr:
    if form is None:
        return text.map_batches(_read_iso, return_dtype=MOMENT, is_elementwise=True)
    return _read_first_day(text, form).cast(MOMENT) if is_coarse(form) else _parse(text, form)


def _read_time(text: pl.Expr, form: str | None) -> pl.Expr:
    if form is not None:
        return text.str.to_time(form, strict=False)
    shaped = pl.when(text.str.contains(_TIME)).then(text)
    return pl.coalesce(shaped.str.to_time("%H:%M:%S%.f", strict=False), shaped.str.to_time("%H:%M", strict=False))


def _parse(text: pl.Expr, form: str) -> pl.Expr:
    zone = "UTC" if any(mark in form for mark in ("%z", "%:z", "%#z", "%+")) else None
    moment = text.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False)
    return moment.dt.replace_time_zone(None)


# --- ISO 8601 -----------------------------------------------------------------------------------------


def _read_iso(texts: pl.Series) -> pl.Series:
    """Moments of ISO 8601. Where the same ones come again and again, as hours do, each is read once."""
    text = texts.rename("text")
    if len(text) < HEAD or text.head(HEAD).n_unique() > HEAD // 4:
        return _read_each_iso(text).rename(texts.name)
    words = text.unique().drop_nulls()
    if len(words) > len(text) // 4:  # the head was not like the rest
        return _read_each_iso(text).rename(texts.name)
    places = text.cast(pl.Enum(words)).to_physical()
    return _read_each_iso(words).gather(places).rename(texts.name)


def _read_each_iso(texts: pl.Series) -> pl.Series:
    """One shape after another: nearly every column has one, so that the others are not tried."""
    text, left = pl.col("text"), texts.to_frame("text")
    found = [texts.clear(len(texts)).cast(MOMENT)]
    for shape, form in _MOMENTS.items():
        fits = left["text"].str.contains(shape)
        if fits.any():
            some = pl.when(fits).then(text)
            found.append(left.select(_parse(_plain_offset(some) if form.endswith("%#z") else some, form)).to_series())
            left = left.select(pl.when(~fits).then(text))
        if fits.all():
            break
    return pl.select(pl.coalesce(map(pl.lit, found))).to_series()


def _plain_offset(text: pl.Expr) -> pl.Expr:
    """`Z` for UTC and GMT, and no blank before an offset."""
    return text.str.replace(r" ?(UTC|GMT)$", "Z").str.replace(r" ([Z+-][\d:]*)$", "${1}")
