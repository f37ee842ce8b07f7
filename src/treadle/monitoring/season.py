"""What is expected of a column at an hour and a time of the year: what the reference's rows of both were like.

A fault may stay within what a year brings (°C instead of °F), or within what a day brings (weather of six hours
before). Expected by season and hour, neither does.
"""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from treadle.errors import TreadleError
from treadle.profiles.cells import Cells, list_cells
from treadle.profiles.profile import Profile
from treadle.profiles.reference import Reference

Floats = NDArray[np.float64]

_SEASON_DAYS = 21  # before and after a block: its time of the year
_YEAR_DAYS = 365
_MIN_NEIGHBOURS = 2  # blocks of the reference at that time of the year
_SMALLEST = 1e-4  # of a square of deviations, which is no less


class Season:
    """The reference's rows by hour and time of the year: the level of a column is the mean of its values' positions."""

    def __init__(self, columns: tuple[Cells, ...], profile: Profile) -> None:
        """Of a profile that is counted by hour."""
        assert profile.hours is not None, "asked for before"
        self._places = [place for place, column in enumerate(columns) if column.has_level]
        self.names = [columns[place].name for place in self._places]
        self._hours = profile.hours[:, :, self._places]
        self._days = [_read_day(block) for block in profile.blocks]
        totals, starts = profile.cells.sum(axis=0), list_cells(columns)
        self._scales = np.array([_deviate(columns[p].positions, totals[starts[p] :]) for p in self._places])

    def knows(self, block: str) -> bool:
        """Whether the reference has enough blocks of the same time of the year."""
        return len(self._list_near(block, without=None)) >= _MIN_NEIGHBOURS

    def measure(self, profile: Profile, place: int, *, without: int | None) -> Floats:
        """`[2n]`: how far each column's level lies from what is expected, then how far its course over the day does.

        NaN where nothing is expected.

        Args:
            profile: counted in the cells of the reference.
            place: of the block in it.
            without: place of a block of the reference that does not count.
        """
        gaps, weights = self._find_gaps(profile, place, without=without)
        levels = _average(gaps, weights)
        courses = _average((gaps - levels) ** 2, weights)
        return np.concatenate([levels, np.log(courses + _SMALLEST)])

    def describe(self, name: str, profile: Profile, place: int, *, is_level: bool) -> str:
        """How a column differs, in words."""
        gaps, weights = (values[:, self.names.index(name)] for values in self._find_gaps(profile, place, without=None))
        level = float(_average(gaps, weights))
        if is_level:
            return f"{_write_gap(level)} than at these hours and this time of the year"
        apart = np.where(weights > 0, (gaps - level) * np.sqrt(weights), 0)
        hour = int(np.abs(apart).argmax())
        gap = _write_gap(float(gaps[hour]))
        return f"its course over the day is unlike this time of the year; at {hour}:00 UTC {gap} than expected"

    def _find_gaps(self, profile: Profile, place: int, *, without: int | None) -> tuple[Floats, Floats]:
        """`[24, n]` levels less those of the reference at that hour and time of the year, and rows that have both."""
        assert profile.hours is not None, "counted as the reference is"
        now = profile.hours[place][:, self._places]
        near = self._list_near(profile.blocks[place], without=without)
        if len(near) < _MIN_NEIGHBOURS:
            return np.zeros(now.shape[:2]), np.zeros(now.shape[:2])
        expected = self._hours[near].sum(axis=0)
        weights = np.where(expected[..., 0] > 0, now[..., 0], 0).astype(np.float64)
        return (_find_levels(now) - _find_levels(expected)) / self._scales, weights

    def _list_near(self, block: str, *, without: int | None) -> list[int]:
        """The reference's blocks of the same time of the year."""
        day = _read_day(block)
        return [
            place
            for place, other in enumerate(self._days)
            if place != without and _find_distance(day, other) <= _SEASON_DAYS
        ]


def make_season(reference: Reference, profile: Profile) -> Season:
    """The seasons of a reference.

    Args:
        reference: that is asked.
        profile: of its blocks that have enough rows.

    Raises:
        TreadleError: its blocks have no time, or were not counted by hour.
    """
    if reference.blocking.unit == "rows":
        raise TreadleError("--season needs blocks of time; those of this reference are rows")
    if profile.hours is None:
        raise TreadleError("--season needs counts by hour, which this reference does not have: evaluate the run again")
    return Season(reference.columns, profile)


def _find_levels(hours: NDArray[np.int64]) -> Floats:
    """`[24, n]` mean position of `[24, n, 2]`; 0 where there is no value."""
    levels: Floats = hours[..., 1] / np.maximum(hours[..., 0], 1)
    return levels


def _average(values: Floats, weights: Floats) -> Floats:
    """Over the hours; NaN without any weight."""
    total = weights.sum(axis=0)
    averages: Floats = (values * weights).sum(axis=0) / np.where(total > 0, total, np.nan)
    return averages


def _deviate(positions: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """The standard deviation of the positions of cells; NaN where all rows are in one, or there is none."""
    shares = counts[: len(positions)] / max(1, int(counts[: len(positions)].sum()))
    variance = float(shares @ (positions - shares @ positions) ** 2)
    return math.sqrt(variance) if variance > 0 else math.nan


def _read_day(block: str) -> int:
    """Its day in the year."""
    return datetime.fromisoformat(block).timetuple().tm_yday


def _find_distance(first: int, second: int) -> int:
    gap = abs(first - second)
    return min(gap, _YEAR_DAYS - gap)


def _write_gap(gap: float) -> str:
    """A gap in words.

    >>> _write_gap(-1.234)
    '1.2 deviations lower'
    """
    return f"{abs(gap):.2g} deviations {'lower' if gap < 0 else 'higher'}"
