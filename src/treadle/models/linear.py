"""Linear model: a weight for each number and for each value of each category."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.targets.costs import Cost


class Linear(nn.Module):
    """Linear or logistic regression, by the loss of the task. Every weight begins at 0.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: columns of numbers.
        cardinalities: number of different ids of each column of categories.
        num_outputs: numbers that come out for a row.
    """

    COST = Cost(products="(num_numeric + num_categories) * num_outputs", values="(1 + num_categories) * num_outputs")

    def __init__(self, *, num_numeric: int, cardinalities: Sequence[int], num_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_numeric, num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=num_outputs)
        nn.init.zeros_(self.categories.table.weight)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Sum the weights."""
        words = self.categories(ids).view(len(ids), ids.shape[1], len(self.bias))
        return numeric @ self.weight + words.sum(dim=1) + self.bias
