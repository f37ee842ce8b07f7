"""Embeddings of categorical inputs, concatenated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from treadle.schema import IdsBefore


class CategoryEmbeddings(nn.Module):
    """A learned vector for each id of each column, concatenated.

    All columns share one embedding table, in which each has its own rows, and are looked up at once.

    Shape:
        ids: `[B, C]` int64, column c in `0 .. cardinalities[c] - 1`.
        output: `[B, C * embedding_dim]`.
    """

    offsets: Tensor  # [C]

    def __init__(self, *, cardinalities: Sequence[int], embedding_dim: int) -> None:
        super().__init__()
        sizes = torch.tensor(list(cardinalities), dtype=torch.int64)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes, persistent=False)
        self.table = nn.Embedding(int(sizes.sum()), embedding_dim)
        self.num_outputs = len(sizes) * embedding_dim
        with torch.no_grad():
            self.table.weight.mul_(embedding_dim**-0.5)  # the norm of a vector is about 1

    def forward(self, ids: Tensor) -> Tensor:
        """Look up."""
        return self.table(ids + self.offsets).flatten(1)

    def trace_ids(self, before: Sequence[IdsBefore]) -> dict[str, tuple[int, Tensor]]:
        """The rows of the table."""
        return {"table.weight": (0, join_ids(before))}


def join_ids(before: Sequence[IdsBefore]) -> Tensor:
    """The places before in a table in which the ids of one input stand behind those of another."""
    starts = accumulate((each.cardinality for each in before), initial=0)
    return torch.cat([torch.empty(0, dtype=torch.int64), *(e.places + s for e, s in zip(before, starts, strict=False))])
