"""Infer what the texts of a column are: numbers, dates, booleans, or texts; and which of them mean a missing value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from treadle.data.number_formats import BLANKS
from treadle.scaffold.reading.amounts import Amounts, name_units, take_apart
from treadle.scaffold.reading.dates import explain_form, list_forms, looks_like_date, read_digits

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

MAX_STRAYS = 20  # different texts among numbers that a contract names one by one
MIN_SHARE = 0.9  # of the rows that must be numbers
_TRIED = 10  # texts of which one must match a format, before all of them are tried

_INT = re.compile(r"[+-]?(0|[1-9]\d*)", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CODE = re.compile(r"[+-]?0\d+", re.ASCII)  # digits with a leading zero name something, such as a postcode
_MAX_INT = 2**63
_INDIAN = (2, 3)  # digits of a group before the last one


@dataclass(frozen=True)
class Around:
    """What is known about a column besides its texts."""

    name: str = ""
    has_semicolons: bool = False  # the file separates its fields by them, as programs do where a comma is in numbers
    has_commas: bool = False  # other columns of the file have decimal commas
    use: Literal["moment", "target", ""] = ""  # given by the user


_NOTHING = Around()


@dataclass(frozen=True)
class Reading:
    """How the texts of a column are read: keys of a column's contract, and why."""

    dtype: str
    options: dict[str, Any] = field(default_factory=dict)  # thousands, decimal, prefix, format, …
    missing: list[str] = field(default_factory=list)
    reason: str = ""
    strays: tuple[str, ...] = ()  # those of `missing` that are not usual markers


def read_texts(counts: Mapping[str, int], *, around: Around = _NOTHING) -> Reading:
    """The narrowest type that holds a column's texts.

    Args:
        counts: each text without the blanks around it, with the number of its rows.
        around: what is known besides.
    """
    texts = {text: count for text, count in counts.items() if text}
    plain = {text: count for text, count in texts.items() if text.lower() not in MARKERS}
    markers = sorted(texts.keys() - plain.keys())
    if not plain:
        return Reading("str", missing=markers)
    if {text.lower() for text in plain} <= {"true", "false"}:
        return Reading("bool", missing=markers)
    return _read_amounts(texts, around) or _read_numbers(texts, around) or _read_moments(texts) or _name(texts, markers)


def _name(texts: Mapping[str, int], markers: list[str]) -> Reading:
    """As names. NA is one where it stands among codes of its kind, as for North America and Namibia."""
    codes = [text for text in texts if text not in markers]
    for mark in ("NA", "na"):
        is_code = all(len(text) == len(mark) and text.isalpha() and text.isupper() == mark.isupper() for text in codes)
        if mark in markers and is_code and len(codes) > 1:
            alike = ", ".join(sorted(codes)[:3])
            reason = f"{mark} is a category, as {alike} are; if it means no value, write missing: [{mark}]"
            return Reading("str", missing=[other for other in markers if other != mark], reason=reason)
    return Reading("str", missing=markers, reason=name_units(texts, share=MIN_SHARE))


# --- numbers ------------------------------------------------------------------------------------------


def _read_amounts(texts: Mapping[str, int], around: Around) -> Reading | None:
    """As numbers with something beside them."""
    amounts = take_apart(texts, share=MIN_SHARE)
    if amounts is None:
        return None
    digits = {text: part.digits for text, part in amounts.parts.items()}
    reading = _read_numbers(texts, around, digits=digits)
    return reading and _dress(
        reading, amounts, [text for text in digits if text not in {*reading.missing, *reading.strays}]
    )


def _dress(reading: Reading, amounts: Amounts, texts: list[str]) -> Reading | None:
    options = amounts.list_options(texts)
    if not options:
        return None
    dtype = "float" if "powers" in options else reading.dtype
    reason = "; ".join(filter(None, (reading.reason, amounts.describe(texts))))
    return replace(reading, dtype=dtype, options=reading.options | options, reason=reason)


def _read_numbers(
    texts: Mapping[str, int], around: Around, *, digits: Mapping[str, str] | None = None
) -> Reading | None:
    """As numbers, by the first way of writing them that fits; None where they are none.

    Args:
        texts: each with its rows.
        around: what is known besides.
        digits: of each text that may be a number; None: the texts themselves.
    """
    digits = {text: text for text in texts} if digits is None else digits
    for way in sorted(_list_ways(around), key=lambda way: _splits_fraction(way, digits.values())):
        numbers = {text: found for text, bare in digits.items() if (found := _normalize(bare, **way)) is not None}
        strays = find_strays(texts, numbers.__contains__)
        if strays is None or not numbers:
            continue
        if any(_CODE.fullmatch(number) or _is_long(number) for number in numbers.values()):
            return None
        if _use_all(way, [digits[text] for text in numbers]):
            reading = _infer_dtype(list(numbers.values()), around if digits.keys() == texts.keys() else _NOTHING)
            reason = "; ".join(filter(None, (reading.reason, _explain_way(way, around))))
            return take_as_missing(Reading(reading.dtype, {**way, **reading.options}, reason=reason), strays)
    return None


def _splits_fraction(way: Mapping[str, str], texts: Iterable[str]) -> bool:
    """Whether the mark between thousands follows a lone 0 somewhere, as only one before a fraction does."""
    start = f"0{way.get('thousands', '')}"
    return len(start) > 1 and any(text.lstrip("+-").startswith(start) for text in texts)


def _list_ways(around: Around) -> list[dict[str, Any]]:
    point, comma = {"thousands": ","}, {"decimal": ","}
    german = {"thousands": ".", "decimal": ","}
    ways: list[dict[str, Any]] = [{}, comma, point] if around.has_semicolons else [{}, point, comma]
    ways += [german, {"thousands": " ", "decimal": ","}, {"thousands": " "}]
    ways += [{"thousands": "'"}, {"thousands": "'", "decimal": ","}]
    return [german, *ways] if around.has_commas else ways


def _infer_dtype(numbers: list[str], around: Around) -> Reading:
    """Of numbers as Python writes them: whole ones, perhaps moments, or fractions."""
    if not all(map(_INT.fullmatch, numbers)):
        return Reading("float")
    whole = sorted(set(map(int, numbers)))
    found = None
    if around.use != "target":
        found = read_digits(whole, name=around.name, asked=around.use == "moment")
    return Reading("int") if found is None else Reading(found[0], dict(found[1]), reason=found[2])


def _explain_way(way: Mapping[str, str], around: Around) -> str:
    if around.has_commas and way == {"thousands": ".", "decimal": ","}:
        return "a point stands between thousands, since the file's other numbers have a decimal comma"
    return ""


def _is_long(number: str) -> bool:
    """An integer of so many digits names something: as a number it would lose some."""
    return _INT.fullmatch(number) is not None and abs(int(number)) >= _MAX_INT


def _normalize(text: str, *, thousands: str = "", decimal: str = ".") -> str | None:
    """The number as Python writes it; None where it is not a number written this way."""
    for blank in BLANKS if thousands == " " else "":
        text = text.replace(blank, " ")
    text = text.replace("\u2019", "'") if thousands == "'" else text
    whole, mark, fraction = text.partition(decimal)
    if thousands and thousands in whole:
        first, *inner, last = whole.lstrip("+-").split(thousands)
        sizes_fit = 1 <= len(first) <= 3 and len(last) == 3 and {*map(len, inner)} <= {*_INDIAN}  # noqa: PLR2004 - digits
        if not sizes_fit or first.startswith("0"):
            return None
        whole = whole.replace(thousands, "")
    number = f"{whole}.{fraction}" if mark else whole
    return number if _FLOAT.fullmatch(number) and math.isfinite(float(number)) else None


def _use_all(way: Mapping[str, str], texts: list[str]) -> bool:
    """Each mark of the way occurs in some number: else a plainer way is meant.

    A point between thousands is one also where no fraction is there, which only a comma could begin.
    """
    spaced = [re.sub(f"[{BLANKS}]", " ", text).replace("\u2019", "'") for text in texts]
    marks = [way["thousands"]] if way.get("thousands") == "." else way.values()
    return all(any(mark in text for text in spaced) for mark in marks)


# --- what does not fit --------------------------------------------------------------------------------


def find_strays(texts: Mapping[str, int], is_read: Callable[[str], bool]) -> set[str] | None:
    """The texts that do not fit, where they are few enough to be taken for missing values; else None."""
    strays: set[str] = set()
    room = (1 - MIN_SHARE) * sum(texts.values())  # rows
    for text, count in texts.items():
        if not is_read(text):
            strays.add(text)
            room -= count if text.lower() not in NUMBER_MARKERS else 0
            if room < -1e-9:  # noqa: PLR2004 - rounding
                return None
    return strays if len(strays) < len(texts) else None


def take_as_missing(reading: Reading, strays: Iterable[str]) -> Reading:
    """The same, with texts that do not fit: named one by one, or where they are many as all that cannot be read.

    Nor is one named that is a number by itself: it would stand for that number, however it is written.
    """
    strays = set(strays)
    unknown = name_strays(strays | set(reading.strays))
    if len(unknown) <= MAX_STRAYS and not any(map(_FLOAT.fullmatch, unknown)):
        return replace(reading, missing=sorted({*reading.missing, *strays}), strays=unknown)
    marks = sorted({*reading.missing, *strays} - set(unknown))
    return replace(reading, missing=marks, strays=unknown, options=reading.options | {"unreadable": "missing"})


def name_strays(strays: Iterable[str]) -> tuple[str, ...]:
    """Those that no software writes for "no value", so that they are reported."""
    return tuple(sorted(text for text in strays if text.lower() not in NUMBER_MARKERS))


# --- dates --------------------------------------------------------------------------------------------


def _read_moments(texts: Mapping[str, int]) -> Reading | None:
    """As dates, moments or times of day; ISO 8601 first, then other orders of day, month and year."""
    first = [text for text in texts if looks_like_date(text)][:_TRIED]
    for (dtype, form), is_read in list_forms():
        strays = find_strays(texts, is_read) if any(map(is_read, first)) else None
        if strays is not None:
            reason = explain_form(form, [text for text in texts if text not in strays])
            options = {} if form is None else {"format": form}
            return take_as_missing(Reading(dtype, options, reason=reason), strays)
    return None
