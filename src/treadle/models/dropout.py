"""Dropout that is fast on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

LEVELS = 256  # of a byte


@torch.library.custom_op("treadle::draw_words", mutates_args=(), tags=torch.Tag.nondeterministic_seeded)
def draw_words(count: int) -> Tensor:
    """Random integers of 64 bits, `[count]`, from torch's generator: one operation, which a compiled graph can hold."""
    return torch.empty(count, dtype=torch.int64).random_(-(2**63), None)


@draw_words.register_fake
def _shape_words(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.int64)


class Dropout(nn.Module):
    """Inverted dropout, as `torch.nn.Dropout`.

    On the CPU one random byte decides about a unit, so that the probability is a multiple of 1/256: PyTorch's own draws
    64 bits for each unit, which takes as long as a layer.

    Args:
        p: dropout probability, above 0 and below 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """`x` itself outside of training."""
        if not self.training:
            return x
        if x.device.type != "cpu":
            return nnf.dropout(x, self.p)
        dropped = min(max(1, round(self.p * LEVELS)), LEVELS - 1)
        words = draw_words(-(-x.numel() // 8))
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))

    def extra_repr(self) -> str:
        """For printing."""
        return f"p={self.p}"
