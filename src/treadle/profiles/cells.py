"""The cells into which the values of a column are counted: ranges of numbers, frequent texts, and one for missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Item = TypeVar("Item")

_SAMPLE = 1_000_000  # numbers of a column, at most, that place its edges
_WHOLE = 1_000_000  # of the range of numbers
_RANGES = 4  # of numbers, in pairs of columns
_TEXTS = 7  # in pairs of columns, besides the others


@dataclass(frozen=True)
class Cells:
    """The cells of one column, those of present values first, the missing ones last.

    >>> Cells("age", edges=(18.0, 65.0)).place(pl.Series([70, 18, None, 3])).tolist()
    [2, 1, 3, 0]
    """

    name: str
    edges: tuple[float, ...] = ()  # of numbers, ascending: a number belongs to the range that begins at or below it
    texts: tuple[str, ...] | None = None  # the frequent ones; one more cell is for all others. None: numbers
    coarse: tuple[int, ...] = ()  # of each cell, the one that stands for it in pairs of columns

    @property
    def present(self) -> int:
        """How many cells are for values that are there."""
        return len(self.edges) + 1 if self.texts is None else len(self.texts) + 1

    @property
    def count(self) -> int:
        """With the one for missing values."""
        return self.present + 1

    @cached_property
    def coarse_count(self) -> int:
        """How many cells it has in pairs of columns."""
        return max(self.coarse) + 1

    @property
    def has_level(self) -> bool:
        """Whether its values have a mean that can change: texts have none, nor has a constant."""
        return self.texts is None and len(self.edges) > 1

    @cached_property
    def positions(self) -> Ints:
        """`[present]` the middle of each cell in millionths of the reference's range: integers, whose sums are exact.

        >>> Cells("age", edges=(0.0, 20.0, 100.0)).positions.tolist()
        [0, 100000, 600000, 1000000]
        """
        edges = np.asarray(self.edges)
        middles = np.concatenate([edges[:1], edges[:-1] / 2 + edges[1:] / 2, edges[-1:]])
        positions: Ints = np.rint((middles - edges[0]) / (edges[-1] - edges[0]) * _WHOLE).astype(np.int64)
        return positions

    def place(self, values: pl.Series) -> Ints:
        """`[B]` cell of each value.

        Raises:
            PolarsError: numbers are expected, and the values are none.
        """
        if self.texts is not None:
            texts = values.cast(pl.String)
            known = texts.replace_strict(
                self.texts, range(len(self.texts)), default=len(self.texts), return_dtype=pl.Int64
            )
            return pl.select(pl.when(texts.is_null()).then(self.present).otherwise(known)).to_series().to_numpy()
        numbers = _to_numbers(values)
        missing = np.isnan(numbers)
        placed = np.searchsorted(np.asarray(self.edges), numbers, side="right")
        return np.where(missing, self.present, placed).astype(np.int64)

    def describe(self, cell: int) -> str:
        """A cell in words, such as `3 to 7`, `JFK`, `other` or `missing`."""
        if cell == self.present:
            return "missing"
        if self.texts is not None:
            return self.texts[cell] if cell < len(self.texts) else "other"
        if cell == 0:
            return f"below {self.edges[0]:g}" if self.edges else "any number"
        if cell == len(self.edges):
            return f"from {self.edges[-1]:g}"
        return f"{self.edges[cell - 1]:g} to {self.edges[cell]:g}"

    def describe_coarse(self, cell: int) -> str:
        """A cell of pairs in words."""
        if cell == self.coarse[-1]:
            return "missing"
        inside = [place for place, coarse in enumerate(self.coarse) if coarse == cell]
        if self.texts is not None:
            return self.describe(inside[0]) if len(inside) == 1 else "other"
        if inside[0] == 0 or inside[-1] == len(self.edges):
            return f"below {self.edges[inside[-1]]:g}" if inside[0] == 0 else f"from {self.edges[inside[0] - 1]:g}"
        return f"{self.edges[inside[0] - 1]:g} to {self.edges[inside[-1]]:g}"

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        kind = {"edges": list(self.edges)} if self.texts is None else {"texts": list(self.texts)}
        return {**kind, "coarse": list(self.coarse)}

    @classmethod
    def from_plain(cls, name: str, values: dict[str, Any]) -> Cells:
        """What `to_plain` made."""
        texts = values.get("texts")
        edges, coarse = tuple(values.get("edges", ())), tuple(values["coarse"])
        return cls(name, edges, None if texts is None else tuple(texts), coarse)


def fit_cells(rows: pl.LazyFrame, name: str, *, bins: int, top: int) -> Cells:
    """The cells of a column, by its values in the reference.

    Args:
        rows: of the reference.
        name: of the column.
        bins: of numbers, about equally full; two more are for numbers outside of the range of the reference.
        top: number of texts that have a cell of their own, the most frequent ones.
    """
    dtype = rows.collect_schema()[name]
    if dtype.is_numeric():
        return _fit_numbers(rows, name, bins=bins)
    texts = (
        rows.select(pl.col(name).cast(pl.String).alias("text"))
        .drop_nulls()
        .group_by("text")
        .len()
        .sort(["len", "text"], descending=[True, False])
        .head(top)
        .collect()["text"]
        .to_list()
    )
    coarse = [min(place, _TEXTS) for place in range(len(texts) + 1)]
    return Cells(name, texts=tuple(texts), coarse=(*coarse, max(coarse) + 1))


def _fit_numbers(rows: pl.LazyFrame, name: str, *, bins: int) -> Cells:
    number = pl.col(name).cast(pl.Float64).fill_nan(None)
    count, low, high = rows.select(pl.len(), number.min().alias("low"), number.max().alias("high")).collect().row(0)
    step = max(1, -(-count // _SAMPLE))
    sample = rows.select(number).gather_every(step).drop_nulls().collect().to_series().to_numpy()
    if not len(sample):
        return Cells(name, coarse=(0, 1))
    edges = _place_edges(np.sort(sample), low=low, high=high, bins=bins)
    cells = Cells(name, tuple(edges.tolist()))
    shares = np.bincount(cells.place(pl.Series(sample)), minlength=cells.count)[: cells.present] / len(sample)
    middles = np.cumsum(shares) - shares / 2
    quarters = np.minimum(middles * _RANGES, _RANGES - 1).astype(np.int64)
    coarse = np.unique(quarters, return_inverse=True)[1].tolist()
    return Cells(name, cells.edges, coarse=(*coarse, max(coarse) + 1))


def _place_edges(sample: NDArray[np.float64], *, low: float, high: float, bins: int) -> NDArray[np.float64]:
    """Where cells begin: at each value if those are few, else at quantiles; and what lies beyond the range apart."""
    distinct = np.unique(sample)
    inner = distinct if len(distinct) <= bins else np.quantile(sample, np.linspace(0, 1, bins + 1), method="lower")
    return np.unique(np.concatenate([[low], inner, [np.nextafter(high, np.inf)]]))


def list_cells(columns: Sequence[Cells]) -> Ints:
    """`[n + 1]` where the cells of each of n columns begin among the cells of all, and their number."""
    return np.cumsum([0, *(column.count for column in columns)])


def list_coarse(columns: Sequence[Cells]) -> Ints:
    """The same of the cells in pairs of columns."""
    return np.cumsum([0, *(column.coarse_count for column in columns)])


def _to_numbers(values: pl.Series) -> NDArray[np.float64]:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
