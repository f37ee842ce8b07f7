"""Numbers as they are, for models that split them, such as trees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from treadle.features.base import Transform, find_lost, require_numbers
from treadle.features.statistics import take_median


class Raw(Transform):
    """Numbers in their own units, missing ones included: for models that take them as they are, such as trees.

    Where no value is missing in training, a missing one becomes the median. Where float32 could not distinguish the
    values, as of a moment in seconds, the median is subtracted.

    Args:
        columns: names of the input columns.
    """

    KEEPS_MISSING = True

    center: Tensor  # [n] in place of a missing value; NaN where it stays missing
    shift: Tensor  # [n] what is subtracted

    def __init__(self, *, columns: Sequence[str]) -> None:
        super().__init__(columns=columns)
        self.register_buffer("center", torch.empty(0))
        self.register_buffer("shift", torch.empty(0))

    def fit(self, values: Tensor) -> None:
        """Find the columns without a missing value, and those that float32 cannot hold."""
        medians = torch.stack([take_median(column) for column in values.T]).nan_to_num(0.0)
        lost = torch.tensor([_loses_much(column[~column.isnan()]) for column in values.T])
        center = torch.where(values.isnan().any(dim=0), torch.nan, medians)
        self.learn(center=center, shift=torch.where(lost, medians, 0.0))

    def check_state(self) -> None:
        """A number for each column, or NaN in place of it."""
        shape = [len(self.columns)]
        require_numbers("center", self.center.nan_to_num(0.0, torch.inf, -torch.inf), shape=shape)
        require_numbers("shift", self.shift, shape=shape)

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, n]`."""
        return torch.where(values.isnan(), self.center, values) - self.shift


def _loses_much(known: Tensor) -> bool:
    """Whether float32 could not distinguish the values of a column."""
    return bool(len(known) and find_lost(known[:, None], known[:, None].float()))
