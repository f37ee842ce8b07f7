"""From probabilities to decisions."""

from __future__ import annotations

import torch
from torch import Tensor

from treadle.metrics.registry import Threshold


def decide(probability: Tensor, threshold: Threshold) -> Tensor:
    """0 or 1 for each probability `[B]`, or `[B, L]` of L labels, each by its own threshold where there are several.

    In the precision of the probabilities: 0.7 in float32 is below 0.7 in float64, and still equals the threshold.
    """
    return (probability >= torch.tensor(threshold, dtype=probability.dtype)).long()
