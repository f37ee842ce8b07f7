"""What the texts of a column are: numbers, dates, truth values, or texts; and which of them mean "no value"."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

# Texts that mean "no value", as software writes them. The second set is one only among numbers and dates: a
# category may be called so.
MARKERS = {"?", "na", "n/a", "#n/a", "<na>", "nan", "null", "(null)", r"\n", "nil"}
NUMBER_MARKERS = MARKERS | {
    "none",
    "missing",
    "unknown",
    "-",
    "--",
    "---",
    ".",
    "*",
    "x",
    "#value!",
    "#ref!",
    "#div/0!",
}

MAX_STRAYS = 20  # different texts among numbers that are still taken for missing values
MIN_SHARE = 0.9  # of the rows that must be numbers then

_INT = re.compile(r"[+-]?(0|[1-9]\d*)", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CODE = re.compile(r"[+-]?0\d+", re.ASCII)  # digits with a leading zero name something, such as a postcode
_SPACES = " \u00a0\u2009\u202f"
_MAX_INT = 2**63

_DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d-%b-%y"),  # not %d.%m.%y: versions are written so
)
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p")


@dataclass(frozen=True)
class Reading:
    """How the texts of a column are read: keys of a column's contract, and why."""

    dtype: str
    options: dict[str, Any] = field(default_factory=dict)  # thousands, decimal, format
    missing: list[str] = field(default_factory=list)
    reason: str = ""


def read_texts(counts: Mapping[str, int], *, decimal_comma: bool = False) -> Reading:
    """The narrowest type that holds a column's texts.

    Args:
        counts: each text without the blanks around it, with the number of its rows.
        decimal_comma: the file separates its fields by semicolons, as programs do where the comma is in numbers.
    """
    texts = {text: count for text, count in counts.items() if text}
    plain = {text: count for text, count in texts.items() if text.lower() not in MARKERS}
    markers = sorted(texts.keys() - plain.keys())
    if not plain:
        return Reading("str", missing=markers)
    if {text.lower() for text in plain} <= {"true", "false"}:
        return Reading("bool", missing=markers)
    return _read_numbers(texts, decimal_comma=decimal_comma) or _read_moments(texts) or Reading("str", missing=markers)


# --- numbers ------------------------------------------------------------------------------------------


def _read_numbers(texts: Mapping[str, int], *, decimal_comma: bool) -> Reading | None:
    """As numbers, by the first way of writing them that fits; None where they are none."""
    ways: list[dict[str, Any]] = [{}, {"thousands": ","}, {"decimal": ","}]
    if decimal_comma:
        ways = [{}, {"decimal": ","}, {"thousands": ","}]
    ways += [{"thousands": ".", "decimal": ","}, {"thousands": " ", "decimal": ","}, {"thousands": " "}]
    ways += [{"thousands": "'"}, {"thousands": "'", "decimal": ","}]
    for way in ways:
        strays = _find_strays(texts, partial(_is_number, way))
        if strays is None:
            continue
        fitting = [text for text in texts if text not in strays]
        numbers = [str(_normalize(text, **way)) for text in fitting]
        if any(_CODE.fullmatch(number) or _is_long(number) for number in numbers):
            return None
        if _use_all(way, fitting):
            dtype = "int" if all(map(_INT.fullmatch, numbers)) else "float"
            return Reading(dtype, way, sorted(strays), _name_strays(strays))
    return None


def _is_number(way: Mapping[str, str], text: str) -> bool:
    return _normalize(text, **way) is not None


def _is_long(number: str) -> bool:
    """An integer of so many digits names something: as a number it would lose some."""
    return _INT.fullmatch(number) is not None and abs(int(number)) >= _MAX_INT


def _normalize(text: str, *, thousands: str = "", decimal: str = ".") -> str | None:
    """The number as Python writes it; None where it is not a number written this way."""
    for space in _SPACES if thousands == " " else "":
        text = text.replace(space, " ")
    whole, mark, fraction = text.partition(decimal)
    if thousands and thousands in whole:
        groups = whole.lstrip("+-").split(thousands)
        if not 1 <= len(groups[0]) <= 3 or any(len(group) != 3 for group in groups[1:]):  # noqa: PLR2004 - digits
            return None
        whole = whole.replace(thousands, "")
    number = f"{whole}.{fraction}" if mark else whole
    return number if _FLOAT.fullmatch(number) and math.isfinite(float(number)) else None


def _use_all(way: Mapping[str, str], texts: list[str]) -> bool:
    """Each mark of the way occurs in some number: else a plainer way is meant."""
    spaced = [re.sub(f"[{_SPACES}]", " ", text) for text in texts]
    return all(any(mark in text for text in spaced) for mark in way.values())


def _find_strays(texts: Mapping[str, int], fits: Callable[[str], bool]) -> set[str] | None:
    """The texts that do not fit, where they are few enough to be taken for missing values; else None."""
    strays: set[str] = set()
    unknown: list[str] = []
    for text in texts:
        if not fits(text):
            strays.add(text)
            unknown += [text] if text.lower() not in NUMBER_MARKERS else []
            if len(unknown) > MAX_STRAYS:
                return None
    share = 1 - sum(texts[text] for text in unknown) / sum(texts.values())
    return strays if share >= MIN_SHARE and len(strays) < len(texts) else None


def _name_strays(strays: Iterable[str]) -> str:
    unknown = sorted(text for text in strays if text.lower() not in NUMBER_MARKERS)
    return f"numbers, but for {', '.join(map(repr, unknown))}" if unknown else ""


# --- dates --------------------------------------------------------------------------------------------


def _read_moments(texts: Mapping[str, int]) -> Reading | None:
    """As dates or moments; ISO 8601 first, then other orders of day, month and year."""
    for dtype, form in _list_forms():
        strays = _find_strays(texts, partial(_fits, form))
        if strays is not None:
            options = {} if form is None or form == "%Y-%m-%d" else {"format": form}
            return Reading(dtype, options, sorted(strays), _explain_form(form, [t for t in texts if t not in strays]))
    return None


def _list_forms() -> list[tuple[str, str | None]]:
    forms: list[tuple[str, str | None]] = [("date", "%Y-%m-%d"), ("datetime", None)]
    forms += [("date", date) for date in _DATES[1:]]
    return forms + [("datetime", f"{date} {time}") for date in _DATES[1:] for time in _TIMES]


def _fits(form: str | None, text: str) -> bool:
    if not text.isascii() or not text[:1].isalnum() or not any(map(str.isdigit, text)):
        return False
    try:
        if form is None:
            return len(text) > len("2020-01-01") and text[4:5] == "-" and bool(datetime.fromisoformat(text))
        return bool(datetime.strptime(text, form.replace("%.f", ".%f")))  # noqa: DTZ007 - only whether it can be read
    except ValueError:
        return False


def _explain_form(form: str | None, texts: list[str]) -> str:
    """A word where another order of day and month fits as well."""
    if form is None or not form.startswith("%m/%d/"):
        return ""
    other = form.replace("%m/%d/", "%d/%m/")
    return f"month before day: both fit; for the other order write {other}" if _fit_all(texts, other) else ""


def _fit_all(texts: Iterable[str], form: str) -> bool:
    return all(_fits(form, text) for text in texts)
