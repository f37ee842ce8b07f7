"""Slices of one or two conditions on which a model is worse than it expects: found in one half, confirmed in the other.

A slice is judged by its excess: the loss of its rows less the loss that the model itself expects there. (By the loss
alone, slices whose rate is near one half would always come first.) In thousands of slices some are bad by chance: half
of the blocks propose, the other half confirms, and the confirmations are corrected for their number (Holm).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.data.casting import is_countable
from treadle.evaluation.resampling import MIN_BLOCKS, Blocks, Floats, Ints, find_student_quantile
from treadle.evaluation.scores import Array, compute_losses
from treadle.schema import Task
from treadle.tasks import TRAITS

NUM_PARTS = 5  # into which the numbers of a column are put, with the same number of rows each
MAX_VALUES = 30  # of a column of texts, the most frequent ones
ERROR_RATE = 0.05  # that any slice is confirmed by chance
_OVERLAP = 0.7  # of the rows of two slices, from which on the second one says nothing new
_SHORT_LIST = 10  # slices that are looked at more closely, for each that is proposed
_ALL_DIGITS = 17  # that tell any two numbers of 64 bits apart
_NO_PART = -1  # of a value that is too rare to be a slice

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """A column has one of some values."""

    column: str
    text: str  # such as `JFK`, `3 to 7`, or `missing`

    def __str__(self) -> str:
        return f"{self.column} = {self.text}"


@dataclass(frozen=True)
class WorstSlice:
    """A slice that was found in one half of the blocks, as it is in the other half."""

    conditions: tuple[Condition, ...]
    rows: int  # of the confirming half
    loss: float  # mean; log loss, or squared error of a regression
    excess: float  # mean loss beyond what is expected, less that of all rows
    low: float  # of the interval of the excess
    high: float
    confirmed: bool  # beyond chance, among all that were proposed


@dataclass(frozen=True)
class Parts:
    """A column in few parts."""

    name: str
    codes: Ints  # `[B]` part of each row
    texts: list[str]  # of the parts


def compute_excess(prediction: Array, *, target: Array, task: Task) -> Floats:
    """`[B]` loss of each row beyond the one that the model expects; of a regression, beyond the mean."""
    losses = compute_losses(prediction, target=target, task=task)
    traits = TRAITS[task]
    if traits.is_value:
        excess: Floats = losses - losses.mean()
        return excess
    chances = prediction.astype(np.float64)
    if traits.activation == "sigmoid":
        chances = np.stack([chances, 1 - chances], axis=-1)
    expected: Floats = -(chances * np.log(chances.clip(1e-12, 1))).sum(axis=-1)
    return losses - (expected.mean(axis=1) if expected.ndim == 2 else expected)  # noqa: PLR2004 - of labels


def cut_columns(frame: pl.DataFrame) -> list[Parts]:
    """Each column in parts: numbers by quantiles, other values by frequency; a missing value is a part of its own.

    A column whose values cannot be counted, such as images, has none.
    """
    return [_cut(column) for column in frame if is_countable(column.dtype)]


def _cut(column: pl.Series) -> Parts:
    present = column.drop_nulls()
    if column.dtype.is_numeric() and present.n_unique() > NUM_PARTS:
        return _cut_numbers(column)
    texts = column.cast(pl.String).fill_null("missing")
    counts = texts.rename("text").value_counts().sort("count", "text", descending=[True, False]).head(MAX_VALUES)
    names: list[str] = sorted(counts["text"].to_list())
    codes = texts.replace_strict(names, list(range(len(names))), default=_NO_PART, return_dtype=pl.Int64)
    return Parts(column.name, codes.to_numpy(), names)


def _cut_numbers(column: pl.Series) -> Parts:
    numbers = column.cast(pl.Float64).fill_null(math.nan).to_numpy()
    known = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, NUM_PARTS + 1)))
    count = max(1, len(edges) - 1)
    codes = np.where(known, np.searchsorted(edges[1:-1], numbers, side="right"), count).astype(np.int64)
    spans = name_spans(pairwise(edges), digits=6) or [f"{edges[0]:.6g}"]
    return Parts(column.name, codes, [*spans, "missing"])


def name_spans(spans: Iterable[tuple[float, float]], *, digits: int) -> list[str]:
    """Ranges that differ, such as `3 to 7`, with more digits where two would have one name.

    >>> name_spans([(1000.01, 1000.02), (1000.02, 1000.03)], digits=4)
    ['1000.01 to 1000.02', '1000.02 to 1000.03']
    """
    pairs = list(spans)
    for count in range(digits, _ALL_DIGITS):
        names = [f"{low:.{count}g} to {high:.{count}g}" for low, high in pairs]
        if len(set(names)) == len(names):
            return names
    return [f"{low:.{_ALL_DIGITS}g} to {high:.{_ALL_DIGITS}g}" for low, high in pairs]


def find_worst_slices(
    parts: list[Parts],
    *,
    losses: Floats,
    excess: Floats,
    blocks: Blocks,
    min_rows: int,
    candidates: int,
    coverage: float,
    seed: int,
) -> list[WorstSlice]:
    """Slices by their excess in the confirming half, the largest first; none where there are too few blocks.

    Args:
        parts: the columns.
        losses: `[B]` of the rows.
        excess: `[B]` as `compute_excess` gives it.
        blocks: of the rows; each half takes whole ones.
        min_rows: of a slice, in each half.
        candidates: slices that are proposed for confirmation.
        coverage: of the intervals.
        seed: of the halves.
    """
    if blocks.count < 2 * MIN_BLOCKS:
        return []
    order = np.random.default_rng(seed).permutation(blocks.count)
    first = np.zeros(blocks.count, dtype=bool)
    first[order[: blocks.count // 2]] = True
    finding = first[blocks.codes]
    proposed = _propose(
        parts, _center(excess, finding), blocks=blocks, rows=finding, min_rows=min_rows, candidates=candidates
    )
    masks = {key: _select(parts, key) & ~finding for key in proposed}
    masks = {key: mask for key, mask in masks.items() if mask.sum() >= min_rows}
    centered = _center(excess, ~finding)
    tests = {key: _Test.make(centered, blocks, mask) for key, mask in masks.items()}
    confirmed = confirm({key: test.find_chance() for key, test in tests.items()})
    found = []
    for key, test in tests.items():
        low, high = test.find_interval(coverage)
        conditions = tuple(Condition(parts[column].name, parts[column].texts[code]) for column, code in key)
        rows, loss = int(masks[key].sum()), float(losses[masks[key]].mean())
        found.append(WorstSlice(conditions, rows, loss, test.mean, low, high, confirmed=key in confirmed))
    return sorted(found, key=lambda one: (not one.confirmed, -one.excess))


Key = tuple[tuple[int, int], ...]  # column and part of each condition


def _center(excess: Floats, rows: Mask) -> Floats:
    centered: Floats = excess - excess[rows].mean()
    return centered


def _select(parts: list[Parts], key: Key) -> Mask:
    mask: Mask = np.logical_and.reduce([parts[column].codes == code for column, code in key])
    return mask


def _propose(
    parts: list[Parts], excess: Floats, *, blocks: Blocks, rows: Mask, min_rows: int, candidates: int
) -> list[Key]:
    """The slices with the surest excess, without those that share most of their rows with a surer one.

    Rows alone choose a short list of the largest; how far its slices differ between blocks decides.
    """
    scored = sorted(_score(parts, excess, rows, min_rows), reverse=True)[: _SHORT_LIST * candidates]
    masks = {key: _select(parts, key) & rows for _, key in scored}
    chances = {key: _Test.make(excess, blocks, mask).find_chance() for key, mask in masks.items()}
    chosen: list[Key] = []
    for key in sorted(masks, key=lambda key: chances[key]):
        mask = masks[key]
        if len(chosen) == candidates or chances[key] > ERROR_RATE:
            break
        if all((mask & masks[other]).sum() < _OVERLAP * (mask | masks[other]).sum() for other in chosen):
            chosen.append(key)
    return chosen


def _score(parts: list[Parts], excess: Floats, rows: Mask, min_rows: int) -> Iterator[tuple[float, Key]]:
    """Each slice that is large enough: its mean excess times the root of its rows, by a bincount for each pair."""
    values = excess[rows]
    codes = [part.codes[rows] + 1 for part in parts]  # 0: too rare
    sizes = [len(part.texts) + 1 for part in parts]
    pairs = [(column,) for column in range(len(parts))] + list(combinations(range(len(parts)), 2))
    for columns in pairs:
        cells, shape = codes[columns[0]], tuple(sizes[column] for column in columns)
        if len(columns) > 1:
            cells = cells * shape[1] + codes[columns[1]]
        counts = np.bincount(cells, minlength=math.prod(shape))
        sums = np.bincount(cells, weights=values, minlength=math.prod(shape))
        for cell in np.flatnonzero((counts >= min_rows) & (sums > 0)):
            places = np.unravel_index(cell, shape)
            if all(places):
                key = tuple((column, int(place) - 1) for column, place in zip(columns, places, strict=True))
                yield float(sums[cell] / math.sqrt(counts[cell])), key


@dataclass(frozen=True)
class _Test:
    """The mean excess of a slice, with an error by blocks."""

    mean: float
    error: float
    degrees: int

    @classmethod
    def make(cls, excess: Floats, blocks: Blocks, mask: Mask) -> _Test:
        taken = blocks.take(mask)
        sums = taken.sum(excess[mask], np.ones(int(mask.sum())))
        rows = sums[:, 1].sum()
        mean = sums[:, 0].sum() / rows
        spread = ((sums[:, 0] - mean * sums[:, 1]) ** 2).sum() * taken.count / max(1, taken.count - 1)
        return cls(float(mean), float(math.sqrt(spread) / rows), max(1, taken.count - 1))

    def find_chance(self) -> float:
        """Of a mean this large where there is no excess; Student's tail by Wallace's normal approximation (1959)."""
        if self.mean <= 0 or self.error == 0 or self.degrees < MIN_BLOCKS - 1:
            return 1.0
        n, t = self.degrees, self.mean / self.error
        return NormalDist().cdf(-math.sqrt(n * math.log1p(t * t / n)) * (8 * n + 1) / (8 * n + 3))

    def find_interval(self, coverage: float) -> tuple[float, float]:
        """Of the mean."""
        reach = self.error * -find_student_quantile((1 - coverage) / 2, degrees=self.degrees)
        return self.mean - reach, self.mean + reach


def confirm(chances: Mapping[Key, float]) -> set[Key]:
    """The slices that are beyond chance, by Holm's procedure: the smallest first, until one is not.

    >>> sorted(confirm({((0, 0),): 0.01, ((1, 0),): 0.02, ((2, 0),): 0.6}))
    [((0, 0),), ((1, 0),)]
    """
    confirmed: set[Key] = set()
    for place, (key, chance) in enumerate(sorted(chances.items(), key=lambda item: item[1])):
        if chance > ERROR_RATE / (len(chances) - place):
            break
        confirmed.add(key)
    return confirmed
