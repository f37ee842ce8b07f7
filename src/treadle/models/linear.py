"""Linear model: a weight for each number and for each value of each category."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings


class Linear(nn.Module):
    """Linear or logistic regression, by the loss of the task.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.
    """

    def __init__(self, *, num_numeric: int, cardinalities: Sequence[int], num_outputs: int) -> None:
        super().__init__()
        self.numeric = nn.Linear(num_numeric, num_outputs)
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=num_outputs)
        self.num_outputs = num_outputs
        nn.init.zeros_(self.categories.table.weight)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Sum the weights."""
        words = self.categories(ids).view(len(ids), ids.shape[1], self.num_outputs)
        return self.numeric(numeric) + words.sum(dim=1)
