"""A copy of what a step changes, to undo the step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Snapshot:
    """Copies of tensors, and the state of the random generators."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tensors
        self.copies = [tensor.detach().clone() for tensor in tensors]
        self.random = torch.get_rng_state()
        self.random_cuda = torch.cuda.get_rng_state() if tensors[0].is_cuda else None

    @torch.no_grad()
    def restore(self) -> None:
        """Restore all in place."""
        for tensor, copy in zip(self.tensors, self.copies, strict=True):
            tensor.copy_(copy)
        torch.set_rng_state(self.random)
        if self.random_cuda is not None:
            torch.cuda.set_rng_state(self.random_cuda)
