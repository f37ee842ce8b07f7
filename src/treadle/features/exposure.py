"""The exposure of a count: how long, or over how many, it was counted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.base import Transform, require_numbers


class Exposure(Transform):
    """The logarithm of an exposure in units of its mean, which a model adds to its output (an offset).

    A model whose output is the logarithm of a count so learns the rate, and predicts the rate times the exposure: twice
    the days, twice the count. It needs `data.task: count`, or a loss of logarithms. The model itself does not read it.
    A row without an exposure above 0 counts as one of the mean exposure.

    Args:
        columns: names of the input columns, above 0 in training; of several, their product is the exposure.

    Source: McCullagh and Nelder, "Generalized Linear Models", 2nd edition (1989), chapter 6.
    """

    OFFSET = True

    center: Tensor  # [n] logarithm of the mean

    def __init__(self, *, columns: Sequence[str]) -> None:
        super().__init__(columns=columns)
        self.register_buffer("center", torch.empty(0))

    def fit(self, values: Tensor) -> None:
        """Take the mean.

        Raises:
            TreadleError: an exposure is missing, or not above 0.
        """
        for name, column in zip(self.columns, values.T, strict=True):
            if wrong := int((~(column > 0)).sum()):
                rule = f"an exposure is a number above 0; {name!r} is not in {wrong:,} of {len(column):,} training rows"
                raise TreadleError(f"{rule}; leave them out in data.examples.exclude")
        self.learn(center=values.mean(dim=0).log())

    def check_state(self) -> None:
        """A number for each column."""
        require_numbers("center", self.center, shape=[len(self.columns)])

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, n]`."""
        return torch.where(values > 0, values.log() - self.center, 0.0)
