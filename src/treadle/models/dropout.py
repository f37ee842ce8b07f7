"""Dropout that a processor draws quickly."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

LEVELS = 256  # of a byte


@torch.library.custom_op("treadle::draw_words", mutates_args=(), tags=torch.Tag.nondeterministic_seeded)
def draw_words(count: int) -> Tensor:
    """So many random words of 64 bits, from torch's generator: one operation, which a compiled graph can hold."""
    return torch.empty(count, dtype=torch.int64).random_(-(2**63), None)


@draw_words.register_fake
def _shape_words(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.int64)


class Dropout(nn.Module):
    """Set a share of units to 0 in training, and scale the others so that the mean stays.

    On the CPU each unit is decided by one random byte, so that the share is a multiple of 1/256; PyTorch's own draws a
    number of 64 bits for each, which costs as much as a layer.

    Args:
        share: of the units; above 0, below 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """`x` itself outside of training."""
        if not self.training:
            return x
        if x.device.type != "cpu":
            return nnf.dropout(x, self.share)
        dropped = min(max(1, round(self.share * LEVELS)), LEVELS - 1)
        words = draw_words(-(-x.numel() // 8))
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))

    def extra_repr(self) -> str:
        """For printing."""
        return f"share={self.share}"
