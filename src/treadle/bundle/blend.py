"""The bundle of a blend: the weighted mean of the predictions of several bundles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor

from treadle.bundle.bundle import Bundle
from treadle.bundle.predictor import Predictor


@dataclass(frozen=True)
class BlendBundle(Predictor):
    """Several trained models, which predict the same examples; their weights, by name, are in the card.

    Members are not calibrated by themselves: their mean is.
    """

    members: Mapping[str, Bundle]

    def compute(self, frame: pl.DataFrame) -> Tensor:
        """The mean, by weight, of the members' predictions: probabilities, or values in the target's own units."""
        return mix({name: member.compute(frame) for name, member in self.members.items()}, self.card.members)

    @property
    def chunk_rows(self) -> int:
        """The most of any member: whole chunks of each."""
        return max(member.chunk_rows for member in self.members.values())

    def measure_terms(self, row: Mapping[str, Any], place: int) -> float:
        """The mean of the members' own, by weight: of each output that the calibrated one depends on, by its slope."""
        raw = self.compute(self.conform(row)).requires_grad_()
        with torch.enable_grad():
            (slopes,) = torch.autograd.grad(self.calibrate(raw).flatten()[place], raw)
        found: list[float] = slopes.flatten().abs().tolist()
        return sum(
            steep * weight * self.members[name].measure_terms(row, k)
            for k, steep in enumerate(found)
            if steep
            for name, weight in self.card.members.items()
        )


def mix(predictions: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted mean of predictions, summed in float64 and in the order of the weights."""
    total = torch.stack([weight * predictions[name].double() for name, weight in weights.items()]).sum(dim=0)
    return total.to(next(iter(predictions.values())).dtype)
