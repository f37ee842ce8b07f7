"""Partial dependence: the mean prediction when a column has one value on all rows (Friedman, 2001)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from treadle.bundle import Predictor
from treadle.data.casting import is_countable
from treadle.evaluation.importance import predict_each
from treadle.evaluation.intervals import Resampling, estimate_means
from treadle.evaluation.resampling import Blocks, Floats

_OUTER = 0.02  # share of the rows beyond the outermost points on either side
_BINS = 30  # of the histogram of a column of numbers
_MINUTES = len("2013-11-02 10:15")  # of a moment as text, without its seconds


@dataclass(frozen=True)
class Curve:
    """The mean prediction at each point."""

    means: tuple[float, ...]
    lows: tuple[float, ...]  # of the intervals; none where there are too few blocks
    highs: tuple[float, ...]

    @property
    def span(self) -> float:
        """How far it goes."""
        return max(self.means) - min(self.means)


@dataclass(frozen=True)
class Dependence:
    """How the mean prediction follows one column, and how many rows there are where."""

    column: str
    values: tuple[float | str, ...]  # numbers, or texts
    curves: dict[str, Curve]  # of each class; `prediction` of other tasks
    shares: tuple[float, ...]  # of the rows: by bin between the outermost points, or by text; none of moments
    edges: tuple[float, ...]  # of the bins; none for texts

    @property
    def span(self) -> float:
        """How far the mean prediction goes, of the class where it goes farthest."""
        return max(curve.span for curve in self.curves.values())

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_dependence(
    bundle: Predictor,
    frame: pl.DataFrame,
    column: str,
    *,
    everything: pl.Series,
    num_points: int,
    blocks: Blocks,
    resampling: Resampling,
) -> Dependence | None:
    """The curve of a column; None if it has fewer than two values.

    The intervals are of the shape: of the mean over blocks of how far the rows' own curves go from their middle.

    Args:
        bundle: of the model.
        frame: rows `[B]` as the bundle takes them, on which the column gets each value.
        column: its name.
        everything: the column on more rows, from which its points and their density are read.
        num_points: most points.
        blocks: of the rows.
        resampling: of the intervals.
    """
    points = choose_points(everything, num_points)
    if len(points) < 2:  # noqa: PLR2004 - a line
        return None
    predicted = np.stack(list(predict_each(bundle, _set(frame, column, points), num_rows=len(frame))))
    by_class = predicted[:, :, None] if predicted.ndim == 2 else predicted  # noqa: PLR2004 - `[P, B, K]`
    names = bundle.classes or ["prediction"]
    curves = {
        name: _summarize(by_class[:, :, place].T, blocks=blocks, resampling=resampling)
        for place, name in enumerate(names)
    }
    values, shares, edges = _describe(points, everything)
    return Dependence(column, values, curves, shares, edges)


def choose_points(column: pl.Series, count: int) -> pl.Series:
    """Values of the column: by equal shares of the rows, or the most frequent texts; in order, without missing ones.

    Of what cannot be counted, such as images, there are none.
    """
    present = column.drop_nulls() if is_countable(column.dtype) else column.clear()
    if present.dtype.is_float():
        present = present.filter(present.is_finite())
    if not (present.dtype.is_numeric() or present.dtype.is_temporal()):
        counts = present.rename("value").value_counts().sort("count", "value", descending=[True, False])
        return counts["value"].head(count).sort().rename(column.name)
    ordered = present.sort()
    inner = ordered.unique(maintain_order=True)
    if len(inner) <= count:
        return inner
    steps = np.linspace(_OUTER, 1 - _OUTER, count)
    by_rows = _pick(ordered, steps).unique()
    between = inner.filter(inner.is_between(by_rows.min(), by_rows.max()))
    missing = count - len(by_rows)  # where many rows share a value: from the other values
    return pl.concat([by_rows, _pick(between, np.linspace(0, 1, missing + 2)[1:-1])]).unique().sort()


def _pick(ordered: pl.Series, steps: Floats) -> pl.Series:
    return ordered[(steps * (len(ordered) - 1)).round().astype(np.int64)]


def _set(frame: pl.DataFrame, column: str, points: pl.Series) -> Iterator[pl.DataFrame]:
    for place in range(len(points)):
        yield frame.with_columns(points[place : place + 1].new_from_index(0, len(frame)).alias(column))


def _summarize(lines: Floats, *, blocks: Blocks, resampling: Resampling) -> Curve:
    """The curves `[B, P]` of B rows as one, with intervals of its shape."""
    lines = lines.astype(np.float64)
    shape = lines - lines.mean(axis=1, keepdims=True) + lines.mean()
    found = [one for one in estimate_means(shape, blocks=blocks, resampling=resampling) if one is not None]
    means = tuple(lines.mean(axis=0).tolist())
    return Curve(means, tuple(one.low for one in found), tuple(one.high for one in found))


def _describe(
    points: pl.Series, everything: pl.Series
) -> tuple[tuple[float | str, ...], tuple[float, ...], tuple[float, ...]]:
    """The points, and the shares of the rows at or between them, with the edges of the bins of numbers."""
    if points.dtype.is_temporal():
        return tuple(str(value)[:_MINUTES] for value in points), (), ()
    if not points.dtype.is_numeric():
        texts = tuple(points.cast(pl.String).to_list())
        counts = [float((everything == value).sum()) / max(1, len(everything)) for value in points]
        return texts, tuple(counts), ()
    numbers = everything.drop_nulls().cast(pl.Float64).to_numpy()
    counted, edges = np.histogram(numbers, bins=_BINS, range=(float(points[0]), float(points[-1])))
    shares = counted / max(1, len(everything))
    return tuple(map(float, points)), tuple(shares.tolist()), tuple(edges.tolist())
