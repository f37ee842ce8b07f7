"""Sums over ranges of rows, each added up from its own values alone.

A difference of running sums would be quicker to write, but one infinite value spoils all that follow, and one huge
value costs them their digits. Here a range is cut where the largest block of 2^k rows begins inside it: what is left
of the cut is the end of one block, what is right of it the beginning of the next. (A disjoint sparse table, of which
one level at a time is in memory.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
STRIDED = 16  # rows of a block from which numpy is quicker by block than by row of all blocks


@dataclass(frozen=True)
class Ranges:
    """Q ranges `start <= row < end`; one that ends before it begins is empty. Those of a level stand together."""

    num_ranges: int
    asked: Places  # which range it is, [A], of those that are not empty
    first: Places  # its first row, [A]
    last: Places  # its last row, [A]
    bounds: Places  # where each level begins among them; level 0 is of one row, level k + 1 of two blocks of 2^k

    @classmethod
    def sort(cls, starts: Places, ends: Places) -> Ranges:
        """Ranges of rows, from `[Q]` starts and `[Q]` ends."""
        asked = np.flatnonzero(starts < ends)
        first, last = starts[asked], ends[asked] - 1
        levels = np.frexp((first ^ last).astype(np.float64))[1].astype(np.uint8)  # the bits of the number
        order = np.argsort(levels, kind="stable")
        bounds = np.concatenate([[0], np.cumsum(np.bincount(levels))])
        return cls(len(starts), asked[order], first[order], last[order], bounds)

    def sum(self, values: Floats) -> Floats:
        """The sums `[Q]` of finite values `[N]`; 0 for an empty range, not finite where a sum is too large."""
        if not len(self.asked):
            return np.zeros(self.num_ranges)
        largest = 1 << max(len(self.bounds) - 3, 0)
        upto = np.zeros(-(-len(values) // largest) * largest)  # from the beginning of a row's block up to it
        upto[: len(values)] = values
        since = upto.copy()  # from a row to the end of its block
        found = np.empty(len(self.asked))
        with np.errstate(over="ignore", invalid="ignore"):  # of a block; the ranges without it are not touched
            for level, (start, end) in enumerate(pairwise(self.bounds)):
                first, last = self.first[start:end], self.last[start:end]
                if level > 1:
                    _double(upto, since, size=1 << level - 2)
                found[start:end] = upto[first] if level == 0 else since[first] + upto[last]
        return self._spread(found)

    def count(self, marks: NDArray[np.bool_]) -> Floats:
        """How many of the marks `[N]` are true in each range, `[Q]`; whole numbers have exact differences."""
        if marks.all():
            return self._spread(self.last + 1 - self.first)
        running = np.concatenate([[0], np.cumsum(marks)])
        return self._spread(running[self.last + 1] - running[self.first])

    def _spread(self, found: NDArray[Any]) -> Floats:
        spread = np.zeros(self.num_ranges)
        spread[self.asked] = found
        return spread


def _double(upto: Floats, since: Floats, *, size: int) -> None:
    """From blocks of some size to blocks of twice that."""
    upto, since = upto.reshape(-1, 2, size), since.reshape(-1, 2, size)
    if size >= STRIDED:
        upto[:, 1] += upto[:, 0, -1:]
        since[:, 0] += since[:, 1, :1]
        return
    for row in range(size):
        upto[:, 1, row] += upto[:, 0, -1]
        since[:, 0, row] += since[:, 1, 0]


def cut_out(starts: Places, ends: Places, places: Places) -> tuple[Places, Places]:
    """Ranges without some of their rows.

    Args:
        starts: `[Q]`.
        ends: `[Q]`.
        places: `[K, Q]`, rows that are taken out; one that does not lie in its range takes nothing out.

    Returns:
        Starts and ends, `[K + 1, Q]` each, of the pieces of each range; some may be empty.
    """
    inside = (places >= starts) & (places < ends)
    cuts = np.sort(np.where(inside, places, ends), axis=0)
    return np.vstack([starts[None], cuts + 1]), np.vstack([cuts, ends[None]])
