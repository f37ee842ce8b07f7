"""How strongly columns hang together, and groups of those that do: permuted alone, each would look like nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from treadle.data.casting import is_countable
from treadle.evaluation.resampling import Floats, Ints

MAX_VALUES = 200  # of a column of texts, the most frequent ones; the others count as one
_REST = "the other values"


@dataclass(frozen=True)
class _Column:
    """Standardized ranks of numbers, else a code for each text."""

    ranks: Floats | None
    codes: Ints


def measure_association(frame: pl.DataFrame) -> Floats:
    """`[n, n]` between 0 and 1, of each pair of columns.

    Two numbers: the size of their rank correlation. A text and a number: the root of the share of the ranks' variance
    between the texts (Kelley's epsilon squared, corrected for many texts). Two texts: Cramér's V, corrected likewise
    (Bergsma, 2013). Moments count as numbers; a missing number has the mean rank. What cannot be counted, such as an
    image, is associated with nothing.
    """
    columns = [_encode(column) for column in frame]
    found = np.eye(len(columns))
    for i, first in enumerate(columns):
        for j in range(i):
            found[i, j] = found[j, i] = min(1.0, max(0.0, _associate(first, columns[j])))
    return found


def _encode(column: pl.Series) -> _Column:
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        return _Column(_rank(column), np.empty(0, dtype=np.int64))
    if not is_countable(column.dtype):
        return _Column(np.zeros(len(column)), np.empty(0, dtype=np.int64))
    texts = column.cast(pl.String).fill_null("")
    frequent = texts.value_counts(sort=True)[:, 0].head(MAX_VALUES)
    kept = pl.select(pl.when(texts.is_in(frequent.implode())).then(texts).otherwise(pl.lit(_REST))).to_series()
    return _Column(None, kept.rank("dense").to_numpy().astype(np.int64) - 1)


def _rank(column: pl.Series) -> Floats:
    known = column.fill_nan(None) if column.dtype.is_float() else column
    ranks = known.rank("average").cast(pl.Float64).to_frame("rank")
    centered: Floats = ranks.select((pl.col("rank") - pl.col("rank").mean()).fill_null(0.0)).to_series().to_numpy()
    spread = math.sqrt((centered**2).sum() / max(1, len(centered)))
    return centered / spread if spread > 0 else np.zeros_like(centered)


def _associate(first: _Column, second: _Column) -> float:
    if first.ranks is not None and second.ranks is not None:
        return abs(float((first.ranks * second.ranks).mean()))
    if first.ranks is not None:
        return _explain_ranks(first.ranks, second.codes)
    if second.ranks is not None:
        return _explain_ranks(second.ranks, first.codes)
    return _compute_cramer(first.codes, second.codes)


def _explain_ranks(ranks: Floats, codes: Ints) -> float:
    counts = np.bincount(codes)
    total, groups = float((ranks**2).sum()), int((counts > 0).sum())
    if not total > 0 or groups >= len(ranks):
        return 0.0
    sums = np.bincount(codes, weights=ranks)
    within = total - float((sums**2 / np.maximum(counts, 1)).sum())
    share = 1 - (within / (len(ranks) - groups)) / (total / (len(ranks) - 1))
    return math.sqrt(max(0.0, share))


def _compute_cramer(first: Ints, second: Ints) -> float:
    rows, width = len(first), int(second.max(initial=0)) + 1
    table = np.bincount(first * width + second, minlength=(int(first.max(initial=0)) + 1) * width).reshape(-1, width)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(1, rows)
    squares = float(((table - expected) ** 2 / np.where(expected > 0, expected, 1)).sum()) / max(1, rows)
    height, width = table.shape
    if rows <= 1 or min(height, width) == 1:
        return 0.0
    chance = (height - 1) * (width - 1) / (rows - 1)
    sizes = [size - (size - 1) ** 2 / (rows - 1) for size in (height, width)]
    return math.sqrt(max(0.0, squares - chance) / max(1e-9, min(sizes) - 1))


def group_columns(association: Floats, *, threshold: float) -> list[list[int]]:
    """Groups of columns of which each pair is at least as strongly associated as the threshold (complete linkage).

    >>> group_columns(np.array([[1, 0.9, 0.1], [0.9, 1, 0.5], [0.1, 0.5, 1]]), threshold=0.8)
    [[0, 1], [2]]
    """
    groups = [[place] for place in range(len(association))]
    links = association.astype(np.float64)
    np.fill_diagonal(links, -1.0)
    while len(groups) > 1 and links.max() >= threshold:
        first, second = sorted(int(place) for place in np.unravel_index(links.argmax(), links.shape))
        weakest = np.minimum(links[first], links[second])
        links[first], links[:, first] = weakest, weakest
        links[first, first] = -1.0
        links = np.delete(np.delete(links, second, axis=0), second, axis=1)
        groups[first] += groups.pop(second)
    return [sorted(group) for group in groups]


def find_center(association: Floats, group: Sequence[int]) -> int:
    """The column of a group that is closest to its others."""
    within = association[np.ix_(group, group)].sum(axis=1)
    return group[int(within.argmax())]
