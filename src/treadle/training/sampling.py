"""Which rows an epoch of training holds, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor

from treadle.schema import Sampling


def draw_order(target: Tensor, *, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """Positions of the rows of an epoch, as many as there are rows.

    Args:
        target: `[B]`, of all rows.
        sampling: `shuffle`: every row once; `balanced`: each class as often as any other. A row of a frequent class
            then stands at most once, or is left out of this epoch; one of a rare class stands several times, as often
            as the others of its class, give or take one.
        generator: on the CPU; the same state gives the same order.
    """
    order = torch.randperm(len(target), generator=generator)
    return order if sampling == "shuffle" else _balance(target.cpu().long(), order, generator)


def _balance(classes: Tensor, order: Tensor, generator: torch.Generator) -> Tensor:
    """Take each class's first rows of `order`, from its start again where it ends, and shuffle all that was taken."""
    counts = classes.bincount()
    present = counts.nonzero()[:, 0]
    shares = torch.zeros_like(counts)
    shares[present] = len(order) // len(present)
    shares[present[torch.randperm(len(present), generator=generator)[: len(order) % len(present)]]] += 1
    by_class = order[classes[order].argsort(stable=True)].split(counts.tolist())
    taken = [
        rows[torch.arange(share) % len(rows)] for rows, share in zip(by_class, shares.tolist(), strict=True) if share
    ]
    return torch.cat(taken)[torch.randperm(len(order), generator=generator)]
