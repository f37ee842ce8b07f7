"""Fitted transforms of numbers. Missing is NaN on the way in; after `Impute` nothing is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.base import ROUNDING, Transform, require_numbers, require_positions
from treadle.features.statistics import (
    merge_close,
    split_parts,
    sum_columns,
    take_mean,
    take_median,
    take_quantiles,
)
from treadle.schema import Count, Positive
from treadle.threads import map_ahead


class Impute(Transform):
    """Fill missing values with a statistic of the training split, with 0 where a column has no value at all.

    With `indicator`, each column with missing values in training gets a second one that marks them.

    Args:
        columns: names of the input columns.
        strategy: the statistic; `zero` is the number 0.
        indicator: whether a second column marks missing values.
    """

    FOR_NETWORKS = True

    center: Tensor  # [n]
    gaps: Tensor  # [g] positions of the columns with an indicator

    def __init__(self, *, columns: Sequence[str], strategy: Literal["median", "mean", "zero"], indicator: bool) -> None:
        super().__init__(columns=columns)
        self.strategy = strategy
        self.indicator = indicator
        self.register_buffer("center", torch.empty(0))
        self.register_buffer("gaps", torch.empty(0, dtype=torch.int64))

    @property
    def outputs(self) -> list[str]:
        """The columns, then `… missing` for each with missing values in training."""
        return self.columns + [f"{self.columns[i]} missing" for i in self.gaps.tolist()]

    @property
    def origins(self) -> list[int]:
        """An indicator comes from the column whose missing values it marks."""
        return [*range(len(self.columns)), *self.gaps.tolist()]

    def fit(self, values: Tensor) -> None:
        """Compute the statistic of the values that are not missing."""
        if self.strategy == "zero":
            center = values.new_zeros(values.shape[1])
        elif self.strategy == "mean":
            center, _ = take_mean(values)
        else:
            center = torch.stack(list(map_ahead(take_median, values.T)))
        gaps = values.isnan().any(dim=0).nonzero()[:, 0] if self.indicator else self.gaps
        self.learn(center=center.nan_to_num(0.0), gaps=gaps)

    def check_state(self) -> None:
        """A number for each column, and each column with an indicator once."""
        require_numbers("center", self.center, shape=[len(self.columns)])
        require_positions("gaps", self.gaps, below=len(self.columns))
        if len(self.gaps.unique()) < len(self.gaps) or (len(self.gaps) and not self.indicator):
            raise TreadleError("gaps must hold each column once, and none without `indicator`")

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, n + g]`."""
        missing = values.isnan()
        filled = torch.where(missing, self.center, values)
        if not len(self.gaps):
            return filled
        return torch.cat([filled, missing[:, self.gaps].to(filled.dtype)], dim=1)


class Standardize(Transform):
    """Subtract the mean and divide by the standard deviation of the training split; a constant column becomes 0.

    It is 0 for any other value, too: a constant has no unit in which to measure the distance.

    Args:
        columns: names of the input columns.
    """

    FOR_NETWORKS = True

    mean: Tensor  # [n]
    scale: Tensor  # [n]

    def __init__(self, *, columns: Sequence[str]) -> None:
        super().__init__(columns=columns)
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("scale", torch.empty(0))

    def fit(self, values: Tensor) -> None:
        """Mean and standard deviation of the values that are not missing."""
        mean, count = take_mean(values)
        squares = [sum_columns((part - mean).square_())[0] for part in split_parts(values)]
        deviation = (torch.stack(squares).sum(dim=0) / count).sqrt()
        self.learn(mean=mean, scale=torch.where(deviation <= ROUNDING * mean.abs(), torch.inf, deviation))

    def check_state(self) -> None:
        """A mean and a positive scale for each column, infinite for a constant one."""
        scale = self.scale.masked_fill(self.scale == torch.inf, 1.0)  # of a constant column
        for name, value in (("mean", self.mean), ("scale", scale)):
            require_numbers(name, value, shape=[len(self.columns)])
        if (self.scale <= 0).any():
            raise TreadleError("scale must be positive")

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, n]`; NaN stays NaN."""
        return (values - self.mean).div_(self.scale)


class Quantile(Transform):
    """Map each column to its quantile in the training split: uniform in [0, 1], or normal with variance 1.

    Linear between the quantiles, constant beyond them. A value that spans several quantiles (many zeros) gets their
    middle. As scikit-learn's QuantileTransformer.

    Args:
        columns: names of the input columns.
        num_quantiles: number of quantiles, minimum and maximum included.
        output: distribution of the output.
    """

    FOR_NETWORKS = True

    knots: Tensor  # [n, q] distinct quantiles, ascending; padded with infinity
    ranks: Tensor  # [n, q] rank of each knot; padded with the last

    def __init__(
        self,
        *,
        columns: Sequence[str],
        num_quantiles: Annotated[int, Field(ge=2)],
        output: Literal["normal", "uniform"],
    ) -> None:
        super().__init__(columns=columns)
        self.num_quantiles = num_quantiles
        self.output = output
        self.register_buffer("knots", torch.empty(0, 0))
        self.register_buffer("ranks", torch.empty(0, 0))
        self._last: tuple[Tensor, Tensor] | None = None  # knots, and what `_find_last` found for them

    def fit(self, values: Tensor) -> None:
        """Take the quantiles of each column; a column of one value, or of none, maps to the middle."""
        knots = torch.full((values.shape[1], self.num_quantiles), torch.inf, dtype=torch.float64)
        ranks = torch.zeros_like(knots)
        for index, column in enumerate(values.T):
            distinct, counts = merge_close(take_quantiles(column, self.num_quantiles))
            middles = (counts.cumsum(0).double() - (counts + 1).double() / 2) / (self.num_quantiles - 1)
            knots[index, : len(distinct)] = distinct
            ranks[index] = middles[-1]
            ranks[index, : len(distinct)] = middles
        self.learn(knots=knots, ranks=ranks)

    def check_state(self) -> None:
        """Ascending knots, then infinity; ranks from 0 to 1 that do not fall."""
        shape = [len(self.columns), self.num_quantiles]
        finite = self.knots.isfinite()
        require_numbers("knots", self.knots.masked_fill(self.knots == torch.inf, 0.0), shape=shape)
        require_numbers("ranks", self.ranks, shape=shape)
        ascending = (self.knots[:, 1:] > self.knots[:, :-1]) | ~finite[:, 1:]
        if not (ascending & (finite[:, :-1] | ~finite[:, 1:])).all() or not finite[:, 0].all():
            raise TreadleError("knots must ascend, with infinity behind them")
        if (self.ranks.diff(dim=1) < 0).any() or (self.ranks < 0).any() or (self.ranks > 1).any():
            raise TreadleError("ranks must ascend from 0 to 1")

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, n]`; NaN stays NaN."""
        columns = values.double().T.contiguous()
        rank = _interpolate(columns, self.knots, self.ranks, last=self._find_last()).T
        if self.output == "normal":
            edge = 1e-4  # keeps the tails within 3.72 standard deviations
            rank = math.sqrt(2.0) * torch.erfinv(2.0 * rank.clamp(edge, 1.0 - edge) - 1.0)
        return torch.where(values.isnan(), torch.nan, rank)

    def _find_last(self) -> Tensor:
        """`[n, 1]` position of the last knot that is finite, at least 1; found once, and again for other knots."""
        if self._last is None or self._last[0] is not self.knots:
            self._last = self.knots, (self.knots.isfinite().sum(dim=1, keepdim=True) - 1).clamp(min=1)
        return self._last[1]


class PiecewiseLinear(Transform):
    """Piecewise-linear encoding: a column for each bin, the fraction, 0 to 1, to which a value fills it.

    The edges of the bins are quantiles of the training split; bins of no width are left out.
    Source: arXiv 2203.05556.

    Args:
        columns: names of the input columns.
        num_bins: maximum number of bins of each column.
    """

    FOR_NETWORKS = True

    edges: Tensor  # [m] left edge of each output
    widths: Tensor  # [m]
    origin: Tensor  # [m] the input column of each output

    def __init__(self, *, columns: Sequence[str], num_bins: Count) -> None:
        super().__init__(columns=columns)
        self.num_bins = num_bins
        self.register_buffer("edges", torch.empty(0))
        self.register_buffer("widths", torch.empty(0))
        self.register_buffer("origin", torch.empty(0, dtype=torch.int64))

    @property
    def outputs(self) -> list[str]:
        """`column ≥ edge` for each bin, with as many digits as distinguish the edges."""
        pairs = list(zip(self.origin.tolist(), self.edges.tolist(), strict=True))
        short = [f"{self.columns[i]} ≥ {edge:.6g}" for i, edge in pairs]
        return short if len(set(short)) == len(pairs) else [f"{self.columns[i]} ≥ {edge!r}" for i, edge in pairs]

    @property
    def origins(self) -> list[int]:
        """A bin comes from the column that it is a part of."""
        return [int(position) for position in self.origin]

    def fit(self, values: Tensor) -> None:
        """Place the bins; a constant column gets a single step."""
        edges, widths, origin = [], [], []
        for index, column in enumerate(values.T):
            bounds, _ = merge_close(take_quantiles(column, self.num_bins + 1))
            if len(bounds) == 1:
                bounds = torch.cat([bounds, bounds + bounds.abs().clamp(min=1.0)])  # 1 is lost beside a large one
            edges.append(bounds[:-1])
            widths.append(bounds.diff())
            origin.append(torch.full((len(bounds) - 1,), index))
        self.learn(edges=torch.cat(edges), widths=torch.cat(widths), origin=torch.cat(origin))

    def check_state(self) -> None:
        """An edge, a positive width and a column for each bin."""
        require_positions("origin", self.origin, below=len(self.columns))
        for name, value in (("edges", self.edges), ("widths", self.widths)):
            require_numbers(name, value, shape=[len(self.origin)])
        if (self.widths <= 0).any():
            raise TreadleError("widths must be positive")

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, m]`; NaN stays NaN."""
        return ((values[:, self.origin] - self.edges) / self.widths).clamp(0.0, 1.0)


class Cyclic(Transform):
    """Sine and cosine of a quantity that repeats: the hour with period 24, the weekday with period 7.

    Args:
        columns: names of the input columns.
        period: of the quantity, in its own unit.
    """

    FOR_NETWORKS = True

    def __init__(self, *, columns: Sequence[str], period: Positive) -> None:
        super().__init__(columns=columns)
        self.period = period

    @property
    def outputs(self) -> list[str]:
        """Sines first, then cosines."""
        return [f"{function} {name}" for function in ("sin", "cos") for name in self.columns]

    @property
    def origins(self) -> list[int]:
        """Sine and cosine come from the same column."""
        return 2 * list(range(len(self.columns)))

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, 2n]`; a missing value becomes (0, 0), the middle of the circle."""
        angle = values * (2.0 * math.pi / self.period)
        return torch.cat([angle.sin(), angle.cos()], dim=1).nan_to_num(0.0)


class TruncatedSvd(Transform):
    """The `num_components` directions in which the training rows are largest, as latent semantic analysis takes them.

    The rows are not centred. Each component is divided by its root mean square in training, and its largest weight is
    positive, so that the same rows give the same components.

    Args:
        columns: names of the input columns.
        num_components: number of outputs; where the rows have fewer directions, so many.
    """

    directions: Tensor  # [n, m]

    def __init__(self, *, columns: Sequence[str], num_components: Count) -> None:
        super().__init__(columns=columns)
        self.num_components = num_components
        self.register_buffer("directions", torch.empty(0, 0))

    @property
    def outputs(self) -> list[str]:
        """`component 1 of a to z`, where a and z are the first and the last column."""
        ends = f"{self.columns[0]} to {self.columns[-1]}"
        return [f"component {number} of {ends}" for number in range(1, self.directions.shape[1] + 1)]

    @property
    def origins(self) -> list[int]:
        """A component comes from the column that has most weight in it."""
        return [int(place) for place in self.directions.abs().argmax(dim=0)]

    def fit(self, values: Tensor) -> None:
        """Find the eigenvectors of the columns' products.

        Raises:
            TreadleError: a value is missing, or all are 0.
        """
        products = values.new_zeros(values.shape[1], values.shape[1], dtype=torch.float64)
        for part in split_parts(values):
            products.addmm_(part.T, part, alpha=1 / len(values))
        if products.isnan().any() or not products.any():
            fault = "a value is missing" if products.isnan().any() else "all values are 0"
            raise TreadleError(f"TruncatedSvd needs directions of its inputs, and {fault}; see {self.columns[0]!r}")
        sizes, vectors = torch.linalg.eigh(products)
        kept = min(self.num_components, int((sizes > ROUNDING * sizes[-1]).sum()))
        sizes, vectors = sizes[-kept:].flip(0), vectors[:, -kept:].flip(1)
        signs = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()
        self.learn(directions=vectors * signs / sizes.sqrt())

    def check_state(self) -> None:
        """A finite weight of each column in each component."""
        require_numbers("directions", self.directions, shape=[len(self.columns), self.directions.shape[-1]])
        if not 0 < self.directions.shape[1] <= self.num_components:
            raise TreadleError(f"directions must hold from 1 to {self.num_components} components")

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, m]`."""
        return values @ self.directions


def _interpolate(columns: Tensor, knots: Tensor, ranks: Tensor, *, last: Tensor) -> Tensor:
    """Linear interpolation of each row `[n, B]` through its own knots `[n, q]`, constant beyond them.

    `last` is the position of the last of each row's knots, `[n, 1]`.
    """
    right = torch.searchsorted(knots, columns, right=True).clamp(min=1).minimum(last)
    start, end = knots.gather(1, right - 1), knots.gather(1, right)
    share = ((columns - start) / (end - start)).clamp(0.0, 1.0)
    low, high = ranks.gather(1, right - 1), ranks.gather(1, right)
    return torch.lerp(low, high, share.nan_to_num(0.0))
