"""Calibration of probabilities: what the validation split has taught, as numbers in the card, and how it is applied.

Both kinds are continuous, so that a row alone and in a batch stay as near to each other as the model gives them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from treadle.experiment.spec import Spec
from treadle.metrics.registry import EPSILON

MAX_KNOTS = 1_000  # of a curve
MAX_CURVES = 10_000  # one a class

Finite = Annotated[float, Field(allow_inf_nan=False)]
Chance = Annotated[float, Field(ge=0, le=1)]


class Temperature(Spec):
    """Logits are scaled, and of two classes moved (Platt): probabilities become less sure, or more."""

    method: Literal["temperature"] = "temperature"
    slope: Annotated[Finite, Field(gt=0)]  # the inverse of the temperature
    intercept: Finite  # 0 for several classes
    losses: dict[str, Finite] = Field(default_factory=dict, max_length=10)  # of what was tried: cross-fitted log loss

    def apply(self, chances: Tensor) -> Tensor:
        """`[B]` or `[B, K]` probabilities, in float64."""
        if chances.dim() == 1:
            inner = chances.clamp(EPSILON, 1 - EPSILON)
            return torch.sigmoid(self.slope * inner.logit() + self.intercept)
        return torch.softmax(self.slope * chances.clamp(min=EPSILON).log(), dim=1)


class Curve(Spec):
    """A rising line through knots; constant outside of them."""

    x: Annotated[list[Chance], Field(min_length=1, max_length=MAX_KNOTS)]
    y: Annotated[list[Chance], Field(min_length=1, max_length=MAX_KNOTS)]

    @pydantic.model_validator(mode="after")
    def _rise(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError("a curve has as many x as y")
        if any(a >= b for a, b in pairwise(self.x)) or any(a > b for a, b in pairwise(self.y)):
            raise ValueError("a curve rises: x strictly, y never falls")
        return self

    def apply(self, chances: Tensor) -> Tensor:
        """`[B]` probabilities, in float64."""
        x, y = (torch.tensor(values, dtype=torch.float64) for values in (self.x, self.y))
        if len(x) == 1:
            return y.expand(len(chances)) + 0 * chances
        inner = chances.clamp(self.x[0], self.x[-1])  # numbers, not tensors: an export reads them once
        place = torch.searchsorted(x, inner.detach()).clamp(1, len(x) - 1)
        share = (inner - x[place - 1]) / (x[place] - x[place - 1])
        return y[place - 1] + share * (y[place] - y[place - 1])


class Isotonic(Spec):
    """Any rising function; of several classes one for each, after which the probabilities are made to add up to 1."""

    method: Literal["isotonic"] = "isotonic"
    curves: list[Curve] = Field(min_length=1, max_length=MAX_CURVES)
    losses: dict[str, Finite] = Field(default_factory=dict, max_length=10)  # of what was tried: cross-fitted log loss

    def apply(self, chances: Tensor) -> Tensor:
        """`[B]` or `[B, K]` probabilities, in float64."""
        if chances.dim() == 1:
            return self.curves[0].apply(chances)
        shares = torch.stack([curve.apply(chances[:, k]) for k, curve in enumerate(self.curves)], dim=1)
        total = shares.sum(dim=1, keepdim=True)
        return torch.where(total > 0, shares / total.clamp(min=EPSILON), chances)


Alone = Annotated[Temperature | Isotonic, Field(discriminator="method")]


class ByLabel(Spec):
    """Of several labels each by itself; null: its probabilities stay as they are."""

    method: Literal["by_label"] = "by_label"
    labels: list[Alone | None] = Field(min_length=2, max_length=MAX_CURVES)

    @pydantic.model_validator(mode="after")
    def _take_one(self) -> Self:
        if any(isinstance(one, Isotonic) and len(one.curves) != 1 for one in self.labels):
            raise ValueError("the calibration of a label has one curve")
        return self

    def apply(self, chances: Tensor) -> Tensor:
        """`[B, L]` probabilities, in float64."""
        columns = zip(self.labels, chances.unbind(dim=1), strict=True)
        return torch.stack([own if one is None else one.apply(own) for one, own in columns], dim=1)


Calibration = Annotated[Temperature | Isotonic | ByLabel, Field(discriminator="method")]


def calibrate(chances: Tensor, calibration: Temperature | Isotonic | ByLabel | None) -> Tensor:
    """Calibrated probabilities `[B]`, or `[B, K]`, in the precision of the given ones."""
    return chances if calibration is None else calibration.apply(chances.double()).to(chances.dtype)
