"""How a log is judged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How a log is judged."""

    false_alarms: float  # share of normal blocks that may alarm
    min_share: float  # of the labels of a day that must be there for it to count
    season: bool  # whether numbers are compared with those of the same hours and time of the year
    min_effect: float  # on the mean prediction, from which on a signal of the inputs alarms; 0: all do
    ignore: frozenset[str]  # columns that are not judged
    last: int | None  # number of blocks, the newest ones, that are judged; None: all
