"""Dates, moments and times of day among the texts, and among the whole numbers, of a column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from itertools import chain

from treadle.data.datetime_formats import UNIT_NAMES, UNITS

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d%b%Y", "%Y-%b-%d", "%d. %b %Y", "%a %d %b %Y"),
    *("%d-%B-%Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y", "%d. %B %Y", "%a, %d %b %Y", "%A, %B %d, %Y", "%A, %d %B %Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d-%b-%y", "%d %b %y", "%d%b%y", "%d.%m.%y"),
)
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p")
_LONG = ("%a %b %d %H:%M:%S %#z %Y", "%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S %#z", "%a, %d %b %Y %H:%M:%S GMT")
_MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y", "%B-%Y", "%Y %b", "%Y-%b", "%YM%m", "%b-%y")
_QUARTERS = ("%Y Q%q", "%YQ%q", "%Y-Q%q", "%Y/Q%q", "%Y q%q", "%Yq%q", "Q%q %Y", "Q%q-%Y", "Q%q/%Y", "q%q %Y")
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}

_PATTERNS = {
    **dict.fromkeys(("%d", "%m", "%H", "%I"), r"\d\d?"),
    **dict.fromkeys(("%M", "%S", "%y"), r"\d\d"),
    **dict.fromkeys(("%b", "%a"), "[a-z]{3}"),
    **dict.fromkeys(("%B", "%A"), "[a-z]{3,9}"),
    "%Y": r"(?:1[5-9]|2[0-2])\d\d",
    "%q": "[1-4]",
    "%p": "(?:am|pm)",
    "%.f": r"\.\d{1,6}",
    "%#z": r"(?:Z|[+-]\d\d:?\d\d)",
    " %p": " ?(?:am|pm)",
}
_DIRECTIVE = re.compile(r"( %p|%#z|%\.f|%[a-zA-Z])")
_ISO_TAIL = re.compile(r" ?(UTC|GMT|Z|[+-]\d\d(:?\d\d)?)$")
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_LIKE = re.compile(r"\d\D+\d|\d *[ap]m$|[a-z]{3,9}[ -]?\d|\d[ -]?[a-z]{3,9}", re.IGNORECASE)
_CLOCK = re.compile(r"\d\d?:\d\d(:\d\d(\.\d{1,9})?)?")
_PADDED = re.compile(r"\d\d\.\d\d\.\d\d")  # 1.2.10 is a version

_YEARS = range(1800, 2201)
_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2000, 2040))  # of an epoch, unless asked for
_FEW = 6  # different numbers, below which yyyymm may be by chance
# Not word by word: "userId" ends in one, too.
_NAMES_SOMETHING = re.compile(
    r"(?i:(^|[\W_])(id|ids|uuid|guid|code|zip|key|no|nr|number|phone|tel|telephone|mobile|account|sku|ean|isbn))$"
    r"|(?<=[a-z])(Id|ID|Code|Key|No|Nr|Number)$"
)
Form = tuple[str, str | None]  # type, and its format


def list_forms() -> Iterator[tuple[Form, Callable[[str], bool]]]:
    """Formats of dates, moments and times, the simplest first, each with a check of whether a text has it."""
    yield ("date", None), lambda text: bool(_ISO_DAY.fullmatch(text)) and fits("%Y-%m-%d", text)
    yield ("datetime", None), _is_iso
    yield ("time", None), _is_clock
    yield ("time", "%I:%M %p"), partial(fits, "%I:%M %p")
    yield ("time", "%I:%M:%S %p"), partial(fits, "%I:%M:%S %p")
    for form in chain(_DAYS, _QUARTERS, _MONTHS):
        yield ("date", form), partial(fits, form)
    for form in _list_moments():
        yield ("datetime", form), partial(fits, form)


def looks_like_date(text: str) -> bool:
    """Whether a text may be a date or a time: digits in several groups, or with the name of a month."""
    return _DATE_LIKE.search(text) is not None


def fits(form: str, text: str) -> bool:
    """Whether a text is written in a format, and is a date or a time."""
    if not text.isascii() or not _compile(form).fullmatch(text):
        return False
    if form.startswith("%d.%m.%y") and not _PADDED.match(text):
        return False
    return "%q" in form or _parses(text, form.replace("%.f", ".%f").replace("%#z", "%z"))


def explain_form(form: str | None, texts: Iterable[str]) -> str:
    """A note where another order of day and month fits as well."""
    for order, other in (("%m/%d/", "%d/%m/"), ("%d-%m-", "%m-%d-")):
        swapped = form.replace(order, other) if form is not None and form.startswith(order) else ""
        if swapped and all(fits(swapped, text) for text in texts):
            before = "month before day" if order.startswith("%m") else "day before month"
            return f"{before}: both fit; for the other order write {swapped}"
    return ""


def read_digits(numbers: Sequence[int], *, name: str, asked: bool) -> tuple[str, dict[str, str], str] | None:
    """Whole numbers as dates or moments: type, keys of the contract, and why; None where they are numbers.

    Args:
        numbers: different ones of the column.
        name: of the column: one that names something is no epoch.
        asked: whether the user says that they are moments.
    """
    if not numbers or (_NAMES_SOMETHING.search(name) and not asked):
        return None
    if asked and all(number in _YEARS for number in numbers):
        return "date", {"format": "%Y"}, "years, each read as its first day"
    lengths = {len(str(number)) for number in numbers}
    form = _DIGITS.get(max(lengths)) if len(lengths) == 1 else None
    if form is not None and all(fits(form, str(number)) for number in numbers):
        return "datetime" if "%H" in form else "date", {"format": form}, "digits that are dates"
    if lengths == {6} and (asked or len(numbers) >= _FEW) and all(fits("%Y%m", str(number)) for number in numbers):
        return "date", {"format": "%Y%m"}, "digits that are months, each read as its first day"
    return _read_epoch(numbers, asked=asked)


def _read_epoch(numbers: Sequence[int], *, asked: bool) -> tuple[str, dict[str, str], str] | None:
    low, high = min(numbers), max(numbers)
    for unit, times in UNITS.items():
        first = 86_400 * 365 * times if asked else _FIRST * times
        if first <= low and high < _LAST * times:
            return "datetime", {"epoch": unit}, f"{UNIT_NAMES[unit]} since 1970; for plain numbers write {{dtype: int}}"
    return None


def _list_moments() -> Iterator[str]:
    for day in _DAYS:
        for time in _TIMES:
            yield from (f"{day} {time}", f"{day}, {time}", f"{day} {time} %#z", f"{day} {time} UTC")
    yield from _LONG


@cache
def _compile(form: str) -> re.Pattern[str]:
    parts = (_PATTERNS.get(part) or re.escape(part) for part in _DIRECTIVE.split(form))
    return re.compile("".join(parts), re.IGNORECASE if any(mark in form for mark in ("%b", "%B", "%a", "%p")) else 0)


def _parses(text: str, form: str) -> bool:
    if "%p" in form:
        text = re.sub(r" ?([ap]m)", r" \1", text, flags=re.IGNORECASE)
    try:
        return bool(datetime.strptime(text, form))  # noqa: DTZ007 - only whether it can be read
    except ValueError:
        return False


def _is_iso(text: str) -> bool:
    """A day and a time as in ISO 8601, with an offset perhaps."""
    bare = _ISO_TAIL.sub("", text) if len(text) > len("2020-01-01 10") else text
    if not text.isascii() or not _ISO_DAY.match(bare) or len(bare) < len("2020-01-01T10:00"):
        return False
    try:
        return bool(datetime.fromisoformat(bare))
    except ValueError:
        return False


def _is_clock(text: str) -> bool:
    if not _CLOCK.fullmatch(text):
        return False
    hour, minute, *second = text.split(":")
    return int(hour) < 24 and int(minute) < 60 and all(float(part) < 60 for part in second)  # noqa: PLR2004 - of a clock
