"""Steps of the calendar as a configuration writes them: `1mo`, `2w`, `7d`, `1y`; months and years differ in length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from treadle.wording import number_of

_FORM = re.compile(r"([1-9][0-9]{0,3})(d|w|mo|y)")
_MONTHS = {"mo": 1, "y": 12}
_DAYS = {"d": 1, "w": 7}
_ALL_MONTHS_HAVE = 28  # days
_WORDS = {"d": "day", "w": "week", "mo": "month", "y": "year"}


@dataclass(frozen=True)
class Step:
    """A number of days, weeks, months or years."""

    count: int
    unit: str  # d, w, mo, y

    def add(self, moment: datetime, times: int) -> datetime:
        """So many steps later, or earlier.

        >>> parse_step("1mo").add(datetime(2013, 11, 1), 3)
        datetime.datetime(2014, 2, 1, 0, 0)

        Raises:
            ValueError: months are counted from a day that not every month has.
        """
        if self.unit in _DAYS:
            return moment + times * timedelta(days=self.count * _DAYS[self.unit])
        if moment.day > _ALL_MONTHS_HAVE:
            raise ValueError(f"months are counted from a day that each has, 1 to 28; found {moment:%Y-%m-%d}")
        months = moment.year * 12 + moment.month - 1 + times * self.count * _MONTHS[self.unit]
        return moment.replace(year=months // 12, month=months % 12 + 1)

    def floor(self, moment: datetime) -> datetime:
        """The start of the day, week (Monday), month or year.

        >>> parse_step("2w").floor(datetime(2013, 9, 5, 12))
        datetime.datetime(2013, 9, 2, 0, 0)
        """
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        match self.unit:
            case "w":
                return day - timedelta(days=day.weekday())
            case "mo":
                return day.replace(day=1)
            case "y":
                return day.replace(month=1, day=1)
            case _:
                return day

    def describe(self, times: int) -> str:
        """So many steps in words.

        >>> parse_step("1mo").describe(3), parse_step("2w").describe(2)
        ('3 months', '4 weeks')
        """
        number = times * self.count
        return number_of(number, _WORDS[self.unit])

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


def parse_step(text: str) -> Step:
    """Read a whole number and a unit.

    Raises:
        ValueError: the text is not of that form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("a step of the calendar is a whole number and d, w, mo or y, such as '1mo'")
    return Step(int(found[1]), found[2])
