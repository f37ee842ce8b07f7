"""Number formats: texts with the separators, signs and units that a column's contract declares, parsed to numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl

from treadle.experiment.spec import Column

BLANKS = " \u00a0\u2009\u202f"  # space, no-break, thin, narrow no-break
DASHES = "\u2212\u2013"  # the typographic minus, the dash that stands for it
_APOSTROPHES = "'\u2019"
_GAP = f"[{BLANKS}]*"
_EXACT = pl.Decimal(38, 19)  # all whole numbers of 64 bits, and as many digits after the point
_MARKS = ("thousands", "decimal", "prefix", "suffix", "powers", "negative")


def is_plain(column: Column) -> bool:
    """Whether the column's texts are numbers as Polars itself writes them."""
    defaults = Column.model_fields
    plain = all(getattr(column, mark) == defaults[mark].default for mark in _MARKS)
    return column.dtype in {"int", "float"} and not column.missing and plain


def read_number(text: pl.Expr, column: Column) -> pl.Expr:
    """The number of each text; null where there is none, or where it is no whole one in a column of those."""
    dtype: pl.DataType = pl.Int64() if column.dtype == "int" else pl.Float64()
    text = _take_sign(text, column)
    if column.prefix:
        text = text.str.replace(rf"^([+-]?){_GAP}(?:{_any_of(column.prefix)})?{_GAP}([+-]?){_GAP}", "${1}${2}")
    if column.suffix:
        text = text.str.replace(rf"{_GAP}(?:{_any_of(column.suffix)})$", "")
    if column.negative == "trailing":
        text = text.str.replace(rf"^(.*\d){_GAP}-$", "-${1}")
    for letters in sorted(column.powers, key=len, reverse=True):
        text = text.str.replace(rf"{_GAP}{re.escape(letters)}$", f"e{column.powers[letters]}")
    digits = _plain_digits(text, column)
    whole = digits.cast(dtype, strict=False)
    if column.powers and column.dtype == "int":  # 1.5e3 is whole, and no integer to Polars
        return pl.coalesce(whole, _read_whole(digits).cast(dtype, strict=False))
    return whole


def _read_whole(digits: pl.Expr) -> pl.Expr:
    """The numbers without a fraction, exactly: a float would round those of more than 53 bits."""
    exact, rough = digits.cast(_EXACT, strict=False), digits.cast(pl.Float64, strict=False)  # each rounds elsewhere
    return pl.when((exact == exact.floor()) & (rough == rough.floor())).then(exact)


def _take_sign(text: pl.Expr, column: Column) -> pl.Expr:
    """The sign in front, where the contract declares another place or character for it."""
    if column.negative == "parentheses":
        inside = text.str.contains(r"^[^()\d+-]*\([^()+-]+\)[^()\d]*$")
        return pl.when(inside).then(pl.lit("-") + text.str.replace_all(rf"\({_GAP}|{_GAP}\)", "")).otherwise(text)
    return text.str.replace(f"[{DASHES}]", "-") if column.negative == "dash" else text


def _any_of(texts: Iterable[str]) -> str:
    """A pattern for one of some texts, of which the longest fits first."""
    return "|".join(re.escape(text.strip()) for text in sorted(texts, key=len, reverse=True))


def _plain_digits(text: pl.Expr, column: Column) -> pl.Expr:
    """No mark between groups, a point before the fraction."""
    if column.thousands is not None:
        mark, point = _class_of(column.thousands), re.escape(column.decimal)
        grouped = text.str.contains(rf"^[+-]?\d{{1,3}}({mark}\d{{2,3}})*{mark}\d{{3}}({point}\d*)?([eE][+-]?\d+)?$")
        text = pl.when(grouped).then(text.str.replace_all(mark, "")).otherwise(text)
    if column.decimal == ",":
        alone = text.str.contains(".", literal=True).not_()
        text = pl.when(alone).then(text.str.replace(",", ".", literal=True))
    return text


def _class_of(mark: str) -> str:
    alike = BLANKS if mark in BLANKS else _APOSTROPHES if mark in _APOSTROPHES else mark
    return f"[{alike}]"
