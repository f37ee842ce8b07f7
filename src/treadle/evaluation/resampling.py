"""Resampling of the rows of an evaluation, in blocks of rows that hang together.

The flights of one day are late together: a bootstrap over rows takes such a day for hundreds of independent pieces of
evidence, and its intervals are far too narrow. A bootstrap over blocks (days, groups) draws whole blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.int32]  # how often each block is drawn

ROW = "row"  # unit of blocks of one row each
MIN_BLOCKS = 5  # fewer say too little about how far blocks differ
_CHUNK = 500_000  # weights of rows in memory at a time: they stay in the processor's cache
_LEVELS = 2**16  # of the random number from which the weight of a row is read
_POOLS = 500  # that rows are put into where sums by block are resampled
_DEFINED = 0.95  # share of the resamples in which a metric must be defined, such as an AUC that needs both classes


@dataclass(frozen=True)
class Blocks:
    """Which rows hang together.

    >>> Blocks.of(np.array(["Mon", "Tue", "Mon"]), unit="day").codes.tolist()
    [0, 1, 0]
    """

    unit: str  # `row`, `day`, `week`, `month`, or the column that they are read from
    codes: Ints  # `[B]` block of each row, from 0 to `count` - 1
    count: int

    @classmethod
    def of_rows(cls, num_rows: int) -> Blocks:
        """Every row is a block: rows are independent."""
        return cls(ROW, np.arange(num_rows), num_rows)

    @classmethod
    def of(cls, labels: NDArray[np.generic], *, unit: str) -> Blocks:
        """Rows of the same label are a block, in the order of the labels."""
        names, codes = np.unique(labels, return_inverse=True)
        return cls(unit, codes.astype(np.int64), len(names))

    def sum(self, *columns: NDArray[np.generic]) -> Floats:
        """`[G, k]` sums by block of k columns `[B]`."""
        if self.unit == ROW:
            return np.stack(columns, axis=1).astype(np.float64)
        summed = [np.bincount(self.codes, weights=column, minlength=self.count) for column in columns]
        return np.stack(summed, axis=1)

    def take(self, rows: NDArray[np.generic]) -> Blocks:
        """The blocks of some rows, by position or by mask; a block without rows is left out."""
        codes = self.codes[rows]
        return Blocks.of_rows(len(codes)) if self.unit == ROW else Blocks.of(codes, unit=self.unit)

    def repeat(self, count: int) -> Blocks:
        """The blocks of all pairs of a row and one of several labels, row by row."""
        return Blocks("pairs of a row and a label", np.repeat(self.codes, count), self.count)

    def pool(self) -> Blocks:
        """Where single rows are the blocks, and many: random groups of them, which are as independent, and far quicker.

        The intervals of sums over rows are the same but for 3 % of their width, by chance (500 groups).
        """
        if self.unit != ROW or self.count <= _POOLS:
            return self
        codes = np.random.default_rng(0).permutation(self.count) % _POOLS
        return Blocks("random group of rows", codes, _POOLS)


@dataclass(frozen=True)
class Draws:
    """How often each block is drawn in some resamples."""

    counts: Counts  # `[R, G]`
    weights: Floats  # the same, to be multiplied with sums

    def head(self, count: int) -> Draws:
        """The first of these resamples, as many as there are."""
        return Draws(self.counts[: max(0, count)], self.weights[: max(0, count)])

    def split(self, num_rows: int) -> Iterator[Draws]:
        """The same resamples, so few at a time that the weights of so many rows are few enough for the memory."""
        size = max(1, _CHUNK // max(1, num_rows))
        for start in range(0, len(self.counts), size):
            yield Draws(self.counts[start : start + size], self.weights[start : start + size])

    def take(self, codes: Ints) -> Counts:
        """`[R, n]` weights of n rows of these blocks."""
        return np.take(self.counts, codes, axis=1)

    def multiply(self, sums: Floats) -> Floats:
        """`[R, k]` of sums `[G, k]` by block; by as many threads as torch may use, which stages limit."""
        import torch

        product: Floats = (torch.from_numpy(self.weights) @ torch.from_numpy(sums)).numpy()
        return product


def draw(blocks: Blocks, *, resamples: int, seed: int) -> Iterator[Draws]:
    """Resamples in chunks; the same for every model that is judged by these blocks, so that comparisons are paired.

    Blocks are drawn with replacement, as many as there are. Of independent rows each gets a Poisson weight of mean 1
    (Chamandy and others, "Estimating uncertainty for massive data streams", 2012), which is the same for many rows, and
    quicker.
    """
    generator = np.random.default_rng(seed)
    size = max(1, min(resamples, _CHUNK // max(1, len(blocks.codes))))
    table = _make_poisson_table()
    for start in range(0, resamples, size):
        shape = min(size, resamples - start), blocks.count
        if blocks.unit == ROW:
            counts = table[generator.integers(_LEVELS, size=shape, dtype=np.uint16)]
        else:
            drawn = generator.integers(blocks.count, size=shape)
            counts = np.stack([np.bincount(row, minlength=blocks.count) for row in drawn]).astype(np.int32)
        yield Draws(counts, counts.astype(np.float64))


def _make_poisson_table() -> Counts:
    """Weights by level: each as frequent as a Poisson number of mean 1, to 1 / `_LEVELS`."""
    shares = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
    return np.searchsorted(shares, (np.arange(_LEVELS) + 0.5) / _LEVELS).astype(np.int32)


def find_bounds(values: Floats, *, coverage: float, num_blocks: int) -> tuple[float, float] | None:
    """The interval of resampled values: percentiles, expanded for few blocks.

    A bootstrap over G blocks is too narrow by about the root of (G - 1) / G, and by what a normal quantile lacks of
    Student's; the percentiles are moved outwards by both (Hesterberg, "What teachers should know about the bootstrap",
    2015). From 100 blocks on it makes no difference.

    Returns:
        None where there are fewer than `MIN_BLOCKS`, or the metric is not defined in most resamples.
    """
    defined = values[np.isfinite(values)]
    if num_blocks < MIN_BLOCKS or len(defined) < _DEFINED * len(values):
        return None
    wanted = find_student_quantile((1 - coverage) / 2, degrees=num_blocks - 1)
    tail = NormalDist().cdf(wanted * math.sqrt(num_blocks / (num_blocks - 1)))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def find_student_quantile(share: float, *, degrees: float) -> float:
    """The quantile of Student's distribution, by its expansion around the normal one (Abramowitz and Stegun, 26.7.5).

    >>> round(find_student_quantile(0.025, degrees=4), 2), round(find_student_quantile(0.025, degrees=61), 4)
    (-2.78, -1.9996)
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / degrees**power for power, term in enumerate(terms, start=1))
