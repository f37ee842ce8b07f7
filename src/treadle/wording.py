"""Numbers in sentences."""

from __future__ import annotations


def number_of(number: int, noun: str) -> str:
    """How many there are, in words that agree.

    >>> number_of(1, "row"), number_of(2_400, "row"), number_of(0, "day")
    ('1 row', '2,400 rows', '0 days')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
