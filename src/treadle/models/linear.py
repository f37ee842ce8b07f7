"""Linear model: a weight for each numeric input and for each category."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings


class Linear(nn.Module):
    """Linear or logistic regression, depending on the loss. Weights are initialised to 0.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
    """

    def __init__(self, *, num_numeric: int, cardinalities: Sequence[int], num_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_numeric, num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=num_outputs)
        nn.init.zeros_(self.categories.table.weight)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Weighted sum."""
        if not ids.shape[1]:  # ONNX knows no tensor without columns
            return numeric @ self.weight + self.bias
        words = self.categories(ids).view(len(ids), ids.shape[1], len(self.bias))
        return numeric @ self.weight + words.sum(dim=1) + self.bias
