"""Casting of values, from a file or a served row, to their declared types: the same for check, training and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from polars import selectors

from treadle.data.datetime_formats import MOMENT, read_epoch, read_moment
from treadle.data.number_formats import read_number
from treadle.experiment.spec import Column
from treadle.images import keep_images, read_base64

DTYPES: dict[str, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "str": pl.String(),
    "text": pl.String(),  # words that are read, not a category
    "image": pl.Binary(),  # a file, whose pixels are decoded for the model
    "date": pl.Date(),
    "datetime": MOMENT,
    "time": pl.Time(),
}
STRINGS = tuple(word for word, dtype in DTYPES.items() if dtype == pl.String())
DECODED = tuple(word for word, dtype in DTYPES.items() if dtype == pl.Binary())  # files: what they hold is looked at
WORDS = {dtype: word for word, dtype in reversed(DTYPES.items())}  # of several with one type the first
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")  # in any case of letters
WHOLE = 1 << 53  # below it a float holds each whole number
_MOMENTS = ("date", "datetime", "time")


def is_countable(dtype: pl.DataType) -> bool:
    """Whether values of the type repeat or have an order, so that they can be counted; files and lists have neither."""
    return not (dtype.is_nested() or dtype == pl.Binary())


def is_text(dtype: pl.DataType) -> bool:
    """Whether values of the type are read as texts."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def cast_cells(
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
        (pl.col(f"__present {name}").is_not_null() & pl.col(name).is_null() & (column.unreadable == "refuse")).alias(
            lost_mark(name)
        )
        for name, column in columns.items()
    ]
    # In steps, each of which uses the last one's columns: as one expression each part would run several times.
    staged = rows.select(*present, *(expression.alias(f"__{index}") for index, expression in enumerate(keep)))
    return staged.with_columns(values).select(
        *(_finish(name, column) for name, column in columns.items()),
        *lost,
        *(pl.col(f"__{index}").alias(name) for index, name in enumerate(kept)),
    )


def column_of(name: str) -> pl.Expr:
    """The column of just that name; `pl.col` would take "*" and "^…$" for patterns."""
    pattern = name == "*" or name.startswith("^")
    return selectors.by_name(name).as_expr() if pattern else pl.col(name)


def lost_mark(name: str) -> str:
    """The name of the column that marks where values of a column were lost; no declared name begins like that."""
    return f"__lost {name}"


def _mark_missing(value: pl.Expr, dtype: pl.DataType, column: Column) -> pl.Expr:
    """Null for blanks and the column's own marks. Blanks around a text do not count; nor is NaN a value."""
    if not is_text(dtype):
        value = value.fill_nan(None) if dtype.is_float() else value
        return _drop(value, _read_number_marks(dtype, column)) if dtype.is_numeric() else value
    text = _strip(value.cast(pl.String))
    marks = ["", *(mark.strip() for mark in column.missing)]
    return pl.when(text.is_in(marks).not_() if column.missing else text != "").then(text)


def _strip(text: pl.Expr) -> pl.Expr:
    """Without the blanks around it: only a text is looked at that may begin or end with one."""
    ends = text.str.ends_with(" ") | text.str.ends_with("\t") | text.str.ends_with("\u00a0")
    doubtful = (text < "!") | (text > "\x7f") | ends  # "!" comes after every blank of ASCII
    return pl.when(doubtful).then(pl.when(doubtful).then(text).str.strip_chars()).otherwise(text)


def _finish(name: str, column: Column) -> pl.Expr:
    """Null for a value that equals a mark of the missing ones, however it is written; nor is infinity a value."""
    value = pl.col(name)
    if column.dtype == "float":
        value = pl.when(value.is_finite()).then(value)
    return (value if column.dtype in {*STRINGS, *DECODED, "bool"} else _drop(value, _read_marks(column))).alias(name)


def _drop(value: pl.Expr, marks: pl.Series) -> pl.Expr:
    """Null for each of the marks."""
    return pl.when(value.is_in(marks.implode()).not_()).then(value) if len(marks) else value


def _read_marks(column: Column) -> pl.Series:
    """The marks of missing values that are values of the column's type, written as its contract says."""
    read = pl.select(_convert(pl.lit(_list_marks(column)), pl.String(), column)).to_series().drop_nulls()
    return read if column.dtype != "int" else pl.concat([read, _read_number_marks(DTYPES["int"], column)])


def _read_number_marks(dtype: pl.DataType, column: Column) -> pl.Series:
    """The marks of missing values that are numbers of a type, however they are written: -999.0 is -999."""
    text = _list_marks(column)
    number, read = text.cast(pl.Float64, strict=False), text.cast(dtype, strict=False)
    if dtype.is_float():
        return read.drop_nulls()
    read = read.zip_with(read.is_not_null(), number.cast(dtype, strict=False))
    return read.filter(read.cast(pl.Float64) == number)  # not where the type has rounded it


def _list_marks(column: Column) -> pl.Series:
    return pl.Series([mark.strip() for mark in column.missing], dtype=pl.String)


def _convert(value: pl.Expr, dtype: pl.DataType, column: Column) -> pl.Expr:
    """A value that is there, without blanks around it if it is a text, in the column's type, or null."""
    if is_text(dtype):
        return _read_text(value, column)
    if column.dtype in _MOMENTS and dtype.is_numeric():
        return _read_digits(value, dtype, column)
    if column.dtype in STRINGS:
        return _spell(value, dtype)
    if column.dtype in DECODED:
        return _read_image(value) if dtype == pl.Binary() else pl.lit(None, dtype=pl.Binary())
    if column.dtype == "bool" and dtype.is_numeric():
        return pl.when(value == 1).then(statement=True).when(value == 0).then(statement=False)
    if column.dtype == "int" and _has_fractions(dtype):
        value = pl.when(value == value.floor()).then(value)
    return value.cast(DTYPES[column.dtype], strict=False)


def _has_fractions(dtype: pl.DataType) -> bool:
    return dtype.is_float() or dtype.is_decimal()


def _spell(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A whole number as its digits, whatever its width: a column that gains a null becomes float. Else null.

    No other value has one spelling: "True" or "true", "2.5" or "2.50" would be two categories.
    """
    if not (dtype.is_numeric() or dtype == pl.Null()):
        return pl.lit(None, dtype=pl.String())
    if not _has_fractions(dtype):
        return value.cast(pl.String)
    whole = (value == value.floor()) & (value.abs() < WHOLE)
    return pl.when(whole).then(value).cast(pl.Int64, strict=False).cast(pl.String)


def _read_text(text: pl.Expr, column: Column) -> pl.Expr:
    match column.dtype:
        case "str" | "text":
            return _respell(text, column.spellings)
        case "image":
            return _read_image(text.map_elements(read_base64, return_dtype=pl.Binary))
        case "bool":
            lower = text.str.to_lowercase()
            return pl.when(lower.is_in(TRUE)).then(statement=True).when(lower.is_in(FALSE)).then(statement=False)
        case "int" | "float":
            return read_number(text, column)
        case _:
            return read_moment(text, column)


def _read_image(content: pl.Expr) -> pl.Expr:
    """Bytes that are an image; null for others."""
    return content.map_batches(keep_images, return_dtype=pl.Binary, is_elementwise=True)


def _respell(text: pl.Expr, spellings: Sequence[str]) -> pl.Expr:
    """A text that differs from one of the spellings in the case of its letters alone, as that one."""
    if not spellings:
        return text
    folded = {spelling.lower(): spelling for spelling in spellings}
    found = text.str.to_lowercase().replace_strict(folded, default=None, return_dtype=pl.String)
    return pl.coalesce(found, text)


def _read_digits(value: pl.Expr, dtype: pl.DataType, column: Column) -> pl.Expr:
    """A moment that a typed file holds as a number: since 1970, or the digits of its format, as in 20240531."""
    if column.epoch is not None:
        return read_epoch(value, unit=column.epoch)
    if column.format is None:
        return pl.lit(None, dtype=DTYPES[column.dtype])
    whole = pl.when(value == value.floor()).then(value) if _has_fractions(dtype) else value
    return read_moment(whole.cast(pl.Int64, strict=False).cast(pl.String), column)
