"""Durations as they are written in a configuration: `90s`, `30m`, `3h`, `1d`, `2w`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FORM = re.compile(r"(\d+)([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Read a whole number and a unit.

    >>> parse_duration("90m")
    datetime.timedelta(seconds=5400)

    Raises:
        ValueError: the text is not of that form.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number and s, m, h, d or w, such as '3h'")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
