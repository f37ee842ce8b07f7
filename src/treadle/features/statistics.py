"""Statistics of columns of training rows that transforms learn: of what is not missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from treadle.features.base import split_rows

CLOSE = 2.0**-40  # of a value's size: less is no difference to a quantile; of a moment of today, two milliseconds


def take_mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[n]` of the values that are not missing, and their number; 0 and 1 where there are none."""
    sums, counts = zip(*map(sum_columns, split_parts(values)), strict=True)
    count = torch.stack(counts).sum(dim=0).clamp(min=1)
    return torch.stack(sums).sum(dim=0) / count, count


def split_parts(values: Tensor) -> Iterator[Tensor]:
    """Consecutive parts of the rows."""
    return (values[rows].double() for rows in split_rows(len(values), num_columns=values.shape[1]))


def sum_columns(values: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and number `[n]` of the values that are not missing; looking for missing ones takes longer than adding."""
    sums = values.sum(dim=0)
    if not sums.isnan().any():
        return sums, torch.full_like(sums, len(values), dtype=torch.int64)
    return values.nansum(dim=0), (~values.isnan()).sum(dim=0)


def _sort(column: Tensor) -> Tensor:
    """The values that are not missing, ascending."""
    ordered = torch.from_numpy(np.sort(column.numpy()))  # several times faster than torch's on a CPU
    return ordered[: len(ordered) - int(ordered.isnan().sum())]  # NaN stands at the end


def take_median(column: Tensor) -> Tensor:
    """The lower median of the values that are not missing, NaN where there are none."""
    values = column.numpy()
    count = len(values) - np.count_nonzero(np.isnan(values))  # NaN stands behind all of them
    middle = (count - 1) // 2
    return torch.tensor(np.partition(values, middle)[middle] if count else np.nan)


def take_quantiles(column: Tensor, num: int) -> Tensor:
    """`num` quantiles of what is not missing, 0 to 1, with linear interpolation; zeros where there is nothing."""
    ordered = _sort(column)
    if not len(ordered):
        return column.new_zeros(num)
    position = torch.linspace(0, len(ordered) - 1, num, dtype=torch.float64)
    low, high = ordered[position.floor().long()].double(), ordered[position.ceil().long()].double()
    return torch.lerp(low, high, position.frac())


def merge_close(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending values, and how many each stands for: those that differ by rounding alone are one.

    10 * sin(30°) and 5 * sin(90°) differ in the last digit. As two quantiles they would be a step between them, which
    a served row takes or not, by chance.
    """
    starts = (ordered.diff() > CLOSE * ordered[1:].abs()).nonzero()[:, 0] + 1
    starts = torch.cat([starts.new_zeros(1), starts])
    counts = torch.cat([starts, starts.new_tensor([len(ordered)])]).diff()
    return ordered[starts], counts
