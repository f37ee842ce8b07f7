"""From a value as a file or a served row gives it to its declared type: the same for check, training and serving."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import polars as pl
from polars import selectors
from polars.exceptions import PanicException, PolarsError

from treadle.experiment.spec import Column

DTYPES: dict[str, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "str": pl.String(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")  # in any case of letters

_BLANKS = " \u00a0\u2009\u202f"  # space, no-break, thin, narrow no-break
_APOSTROPHES = "'\u2019"
_DATE = r"^\d{4}-\d\d-\d\d$"
_MINUTE, _OFFSET = r"\d{4}-\d\d-\d\dT\d\d:\d\d", r"(Z|[+-]\d\d(:?\d\d)?)"
# Each text has one shape at most, and is parsed by the format of that shape alone: parsing is what costs.
_SHAPES = {
    rf"{_MINUTE}:[0-5]\dZ": "%Y-%m-%dT%H:%M:%SZ",
    rf"{_MINUTE}:\d\d": "%Y-%m-%dT%H:%M:%S",
    rf"{_MINUTE}:\d\d\.\d{{1,9}}": "%Y-%m-%dT%H:%M:%S%.f",
    rf"{_MINUTE}": "%Y-%m-%dT%H:%M",
    rf"{_MINUTE}{_OFFSET}": "%Y-%m-%dT%H:%M%#z",
    rf"{_MINUTE}:\d\d(\.\d{{1,9}})?{_OFFSET}": "%Y-%m-%dT%H:%M:%S%.f%#z",
}
_MOMENTS = {
    f"^{shape.replace('T', separator)}$": form.replace("T", separator)
    for separator in "T "
    for shape, form in _SHAPES.items()
} | {_DATE: "%Y-%m-%d"}
WHOLE = 1 << 53  # below it a float holds each whole number
HEAD = 1 << 10  # first texts of a column, which tell whether they come again
_SAMPLE = datetime(2021, 1, 1, 13, 45, 56, tzinfo=UTC)


def is_text(dtype: pl.DataType) -> bool:
    """Whether values of the type are read as texts."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def is_plain(column: Column) -> bool:
    """Whether the column's texts are numbers as Polars itself writes them."""
    is_number = column.dtype in {"int", "float"}
    return is_number and not column.missing and column.thousands is None and column.decimal == "."


def read_cells(
    rows: pl.LazyFrame,
    columns: Mapping[str, Column],
    *,
    schema: Mapping[str, pl.DataType],
    keep: Sequence[pl.Expr] = (),
) -> pl.LazyFrame:
    """The declared columns in their declared types; null where a value is missing, or cannot be read.

    Args:
        rows: as a file or a caller gives them; a column stands under its `source` where it has one.
        columns: what is declared.
        schema: of `rows`.
        keep: further expressions over `rows`.

    Returns:
        The columns, then for each `lost_mark(name)`: whether a value is there that its type cannot hold; then `keep`.
    """
    sources = [(name, column, schema[column.name_in_file(name)]) for name, column in columns.items()]
    present = [
        _mark_missing(column_of(column.name_in_file(name)), dtype, column).alias(f"__present {name}")
        for name, column, dtype in sources
    ]
    values = [_convert(pl.col(f"__present {name}"), dtype, column).alias(name) for name, column, dtype in sources]
    kept = [expression.meta.output_name() for expression in keep]
    lost = [
        (pl.col(f"__present {name}").is_not_null() & pl.col(name).is_null()).alias(lost_mark(name)) for name in columns
    ]
    # In steps, each of which uses the last one's columns: as one expression each part would run several times.
    staged = rows.select(*present, *(expression.alias(f"__{index}") for index, expression in enumerate(keep)))
    return staged.with_columns(values).select(
        *(pl.col(name).fill_nan(None) if column.dtype == "float" else pl.col(name) for name, column in columns.items()),
        *lost,
        *(pl.col(f"__{index}").alias(name) for index, name in enumerate(kept)),
    )


def column_of(name: str) -> pl.Expr:
    """The column of just that name; `pl.col` would take "*" and "^…$" for patterns."""
    pattern = name == "*" or name.startswith("^")
    return selectors.by_name(name).as_expr() if pattern else pl.col(name)


def lost_mark(name: str) -> str:
    """The name of the column that says where values of a column were lost; no declared one begins like that."""
    return f"__lost {name}"


def reads_back(column: Column) -> bool:
    """Whether the column's `format` can be parsed: a date that is written by it comes back.

    The name of a time zone ("%Z") does not: which offset it means differs from place to place.
    """
    sample, text = pl.Series([_SAMPLE], dtype=pl.Datetime("us", "UTC")), column.format or ""
    if "%Z" in text:
        return False
    try:
        written = sample.dt.to_string(text)
        read = pl.select(_convert(pl.lit(written), pl.String(), column)).item()
    except (PolarsError, PanicException):
        return False
    return read is not None and (read.year, read.month, read.day) == (_SAMPLE.year, _SAMPLE.month, _SAMPLE.day)


def _mark_missing(value: pl.Expr, dtype: pl.DataType, column: Column) -> pl.Expr:
    """Null for blanks and the column's own marks, also where these are numbers already; NaN is no value either.

    A text that is to be read has no blanks around it any more, but for a moment, whose reader knows them.
    """
    marks = [mark.strip() for mark in column.missing]
    if is_text(dtype):
        text = value.cast(pl.String)
        if not marks and (column.dtype == "str" or (column.dtype == "datetime" and column.format is None)):
            return pl.when(_is_blank(text)).then(None).otherwise(text)
        bare = text.str.strip_chars()
        filled = bare.is_in([*marks, ""]).not_() if marks else bare != ""
        return pl.when(filled).then(text if column.dtype == "str" else bare)
    value = value.fill_nan(None) if dtype.is_float() else value
    numbers = pl.Series(marks, dtype=pl.String).cast(pl.Float64, strict=False).drop_nulls().to_list()
    if dtype.is_numeric() and numbers:
        return pl.when(value.cast(pl.Float64).is_in(numbers).not_()).then(value)
    return value


def _is_blank(text: pl.Expr) -> pl.Expr:
    """True where a text is empty or blank, else false or null: only what may begin with a blank is looked at."""
    doubtful = (text < "!") | (text > "\x7f")  # "!" comes after every blank of ASCII
    return pl.when(doubtful).then(text).str.strip_chars() == ""


def _convert(value: pl.Expr, dtype: pl.DataType, column: Column) -> pl.Expr:
    if is_text(dtype) and column.dtype != "str":
        return _read_text(value, column)
    if dtype.is_float() and column.dtype == "int":
        value = pl.when(value == value.floor()).then(value)
    if column.dtype == "str" and not is_text(dtype):
        return _spell(value, dtype)
    return value.cast(DTYPES[column.dtype], strict=False)


def _spell(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A whole number as its digits, whatever its width: a column that gains a null becomes float. Else null.

    No other value has one spelling: "True" or "true", "2.5" or "2.50" would be two categories.
    """
    if not (dtype.is_numeric() or dtype == pl.Null()):
        return pl.lit(None, dtype=pl.String())
    if not (dtype.is_float() or dtype.is_decimal()):
        return value.cast(pl.String)
    whole = (value == value.floor()) & (value.abs() < WHOLE)
    return pl.when(whole).then(value).cast(pl.Int64, strict=False).cast(pl.String)


def _read_text(text: pl.Expr, column: Column) -> pl.Expr:
    match column.dtype:
        case "bool":
            lower = text.str.to_lowercase()
            return pl.when(lower.is_in(TRUE)).then(statement=True).when(lower.is_in(FALSE)).then(statement=False)
        case "date":
            return _read_date(text, column.format)
        case "datetime":
            return _read_moment(text, column.format)
        case _:
            return _plain_number(text, column).cast(DTYPES[column.dtype], strict=False)


def _plain_number(text: pl.Expr, column: Column) -> pl.Expr:
    """The digits as Python writes them: no mark between groups, a point before the fraction."""
    if column.thousands is not None:
        mark, point = _class_of(column.thousands), re.escape(column.decimal)
        grouped = text.str.contains(rf"^[+-]?\d{{1,3}}({mark}\d{{2,3}})*{mark}\d{{3}}({point}\d*)?$")
        text = pl.when(grouped).then(text.str.replace_all(mark, "")).otherwise(text)
    if column.decimal == ",":
        alone = text.str.contains(".", literal=True).not_()
        text = pl.when(alone).then(text.str.replace(",", ".", literal=True))
    return text


def _class_of(mark: str) -> str:
    alike = _BLANKS if mark in _BLANKS else _APOSTROPHES if mark in _APOSTROPHES else mark
    return f"[{alike}]"


def _read_date(text: pl.Expr, form: str | None) -> pl.Expr:
    if form is not None:
        return text.str.to_date(form, strict=False)
    return pl.when(text.str.contains(_DATE)).then(text).str.to_date("%Y-%m-%d", strict=False)


def _read_moment(text: pl.Expr, form: str | None) -> pl.Expr:
    """A moment in UTC; a text without an offset is taken as UTC. Without a format: ISO 8601."""
    if form is not None:
        return _parse(text, form)
    return text.map_batches(_read_iso, return_dtype=DTYPES["datetime"], is_elementwise=True)


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
    found = [texts.clear(len(texts)).cast(DTYPES["datetime"])]
    for shape, form in _MOMENTS.items():
        fits = left["text"].str.contains(shape)
        if fits.any():
            found.append(left.select(_parse(pl.when(fits).then(text), form)).to_series())
            left = left.select(pl.when(~fits).then(text))
        if fits.all():
            break
    bare = left["text"].str.strip_chars()
    if (bare != left["text"]).any():
        found.append(_read_each_iso(bare))
    return pl.select(pl.coalesce(map(pl.lit, found))).to_series()


def _parse(text: pl.Expr, form: str) -> pl.Expr:
    zone = "UTC" if any(mark in form for mark in ("%z", "%:z", "%#z", "%+")) else None
    moment = text.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False)
    return moment.dt.replace_time_zone(None)
