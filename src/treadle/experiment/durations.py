"""Durations and moments as they are written in a configuration: `90s`, `30m`, `3h`, `1d`, `2w`; `2013-09-01`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FORM = re.compile(r"([0-9]+)([smhdw])")
LONGEST = timedelta(days=36_525)  # a century: with more, no moment of a table could be reached from any other


def parse_duration(text: str) -> timedelta:
    """Read a whole number and a unit.

    >>> parse_duration("90m")
    datetime.timedelta(seconds=5400)

    Raises:
        ValueError: the text is not of that form, or the duration is longer than a century.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a whole number and s, m, h, d or w, such as '3h'")
    unit = timedelta(**{_UNITS[match[2]]: 1})
    digits = match[1].lstrip("0") or "0"
    if len(digits) > len(str(LONGEST // timedelta(seconds=1))) or int(digits) * unit > LONGEST:
        raise ValueError(f"a duration is no longer than a century, {LONGEST.days}d")
    return int(digits) * unit


def parse_moment(text: str) -> datetime:
    """Read a date, or a date and a time, in ISO 8601; it is in UTC, with an offset or without one.

    >>> parse_moment("2013-09-01T02:00+02:00")
    datetime.datetime(2013, 9, 1, 0, 0)

    Raises:
        ValueError: the text is not of that form, or no calendar has the moment.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise ValueError("a date or datetime is written as in ISO 8601, such as '2013-09-01'") from error
