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
    """Several trained models, which predict the same examples; their weights, by name, are in the card."""

    members: Mapping[str, Bundle]

    def compute(self, frame: pl.DataFrame) -> Tensor:
        """The mean, by weight, of the members' predictions: probabilities, or values in the target's own units."""
        return mix({name: member.compute(frame) for name, member in self.members.items()}, self.card.members)

    def measure_terms(self, row: Mapping[str, Any], place: int) -> float:
        """The mean of the members' own, by weight."""
        sizes = {name: member.measure_terms(row, place) for name, member in self.members.items()}
        return sum(weight * sizes[name] for name, weight in self.card.members.items())


def mix(predictions: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted mean of predictions, summed in float64 and in the order of the weights."""
    total = torch.stack([weight * predictions[name].double() for name, weight in weights.items()]).sum(dim=0)
    return total.to(next(iter(predictions.values())).dtype)
