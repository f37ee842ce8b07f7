"""Whether whole numbers are counts. A count is a quantity, so rare values are used, not dropped as rare classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from treadle.scaffold.reading.profile import Profile

RARE = 10  # rows, below which a value is rare
_MIN_VALUES = 4  # different values, from which their frequencies can show a count
_MIN_NAMED = 3  # the same, where the name shows it
_MIN_SPARSE = 8  # different values, of which many are rare
_SPARSE = 0.25  # share of rows with a rare value, from which they are too many to drop
_SPREAD = 1.5  # numbers in the range of the lower half of the values, for each of these
_THINNING = -0.7  # correlation by ranks between rows of a value and distance from the most frequent one
_COUNT = re.compile(
    r"(?i:^(n|nb|num|number|no|count|total)[\W_]|(^|[\W_])(count|counts|cnt|qty|quantity|times)$)|(?<=[a-z])Counts?$"
)
_CODE = re.compile(r"(?i:(^|[\W_])(class|type|category|label|code|id|level|grade|rating|rank|stage)([\W_]|$))")


def explain_count(profile: Profile) -> str:
    """Why the values are counts, or at least quantities; empty where they look like classes.

    Args:
        profile: of a column of whole numbers, each of which is listed with its rows.
    """
    rows = sorted((int(value), count) for value, count in profile.values)
    values, counts = [value for value, _ in rows], np.array([count for _, count in rows], dtype=np.float64)
    if len(rows) < _MIN_NAMED or not _is_dense(values[: (len(values) + 1) // 2]):
        return ""
    if values[0] in {0, 1} and _is_called_count(profile.name):
        return "a count by its name"
    if len(rows) < _MIN_VALUES or values[0] < 0:
        return ""
    kind, span = "count" if values[0] in {0, 1} else "quantity", f"{values[0]} to {values[-1]}"
    if _thins_out(counts):
        return f"a {kind}: few rows hold the outermost of its values, {span}"
    if len(rows) >= _MIN_SPARSE and counts[counts < RARE].sum() > _SPARSE * counts.sum():
        return f"a {kind}: most of its values, {span}, have too few rows to be classes"
    return ""


def _is_dense(values: Sequence[int]) -> bool:
    """Whether most numbers of the range occur, as of the smaller counts; codes leave most out."""
    return values[-1] - values[0] < _SPREAD * len(values)


def _is_called_count(name: str) -> bool:
    return bool(_COUNT.search(name)) and not _CODE.search(name)


def _thins_out(counts: NDArray[np.float64]) -> bool:
    """A value is the rarer the farther it is from the most frequent one, and one end of them is rare.

    Counts often hold more zeros than the rest of them lets expect: then they thin out without the lowest value.
    """
    return min(counts[0], counts[-1]) < RARE and any(_correlate(counts[start:]) <= _THINNING for start in (0, 1))


def _correlate(counts: NDArray[np.float64]) -> float:
    """By ranks, the rows of a value with its distance from the most frequent one."""
    distance = np.abs(np.arange(len(counts)) - counts.argmax()).astype(np.float64)
    ranks = np.stack([_rank(distance), _rank(counts)])
    return float(np.asarray(np.corrcoef(ranks))[0, 1]) if ranks.std(axis=1).all() else 0.0


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0; of equal ones the mean."""
    ordered = np.sort(values)
    left, right = np.searchsorted(ordered, values), np.searchsorted(ordered, values, side="right")
    ranks: NDArray[np.float64] = (left + right - 1) / 2
    return ranks
