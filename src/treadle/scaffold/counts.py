"""Whether whole numbers count something. A count is a quantity, and none of its values is too rare to learn from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.scaffold.profile import Profile

RARE = 10  # rows: what fewer hold is rare
_MIN_VALUES = 4  # different values, from which their frequencies tell a count
_MIN_NAMED = 3  # likewise, where the name says it
_SPREAD = 5  # a count leaves few numbers of its range out; codes leave most
_THINNING = -0.7  # correlation by ranks between rows of a value and distance from the most frequent one
_COUNT = re.compile(
    r"(?i:^(n|nb|num|number|no|count|total)[\W_]|(^|[\W_])(count|counts|cnt|qty|quantity|times)$)|(?<=[a-z])Counts?$"
)
_CODE = re.compile(r"(?i:(^|[\W_])(class|type|category|label|code|id|level|grade|rating|rank|stage)([\W_]|$))")


def explain_count(profile: Profile) -> str:
    """Why the values are counts, or quantities at least; empty where they are classes for all that is seen.

    Args:
        profile: of a column of whole numbers, each of which is listed with its rows.
    """
    rows = {int(value): count for value, count in profile.values}
    if not rows or max(rows) - min(rows) >= _SPREAD * len(rows):
        return ""
    if len(rows) >= _MIN_NAMED and min(rows) in {0, 1} and _is_called_count(profile.name):
        return "a count by its name"
    if len(rows) < _MIN_VALUES or min(rows) < 0:
        return ""
    kind = "count" if min(rows) in {0, 1} else "quantity"
    told = f"a {kind}: few rows hold the outermost of its values, {min(rows)} to {max(rows)}"
    return told if _thins_out(rows) else ""


def _is_called_count(name: str) -> bool:
    return bool(_COUNT.search(name)) and not _CODE.search(name)


def _thins_out(rows: Mapping[int, int]) -> bool:
    """A value is the rarer the farther it is from the most frequent one, and one end of them is rare.

    Counts often hold more zeros than the rest of them lets expect: then they thin out without the lowest value.
    """
    span = np.arange(min(rows), max(rows) + 1)
    counts = np.array([rows.get(int(value), 0) for value in span], dtype=np.float64)
    if min(counts[0], counts[-1]) >= RARE:
        return False
    return any(_correlate(counts[start:]) <= _THINNING for start in (0, 1))


def _correlate(counts: NDArray[np.float64]) -> float:
    distance = np.abs(np.arange(len(counts)) - counts.argmax()).astype(np.float64)
    ranks = np.stack([_rank(distance), _rank(counts)])
    return float(np.asarray(np.corrcoef(ranks))[0, 1]) if ranks.std(axis=1).all() else 0.0


def _rank(values: Any) -> NDArray[np.float64]:
    """From 0; of equal ones the mean."""
    ordered = np.sort(values)
    left, right = np.searchsorted(ordered, values), np.searchsorted(ordered, values, side="right")
    ranks: NDArray[np.float64] = (left + right - 1) / 2
    return ranks
