"""Multilayer perceptron over numbers and learned embeddings of categories."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.models.dropout import Dropout
from treadle.schema import Count, Fraction
from treadle.targets.costs import Cost


class Mlp(nn.Module):
    """Layers of one width, with ReLU.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: columns of numbers.
        cardinalities: number of different ids of each column of categories.
        num_outputs: numbers that come out for a row.
        num_layers: hidden layers.
        width: units of each hidden layer.
        dropout: share of units that a step of training sets to 0.
        embedding_dim: numbers that stand for a category.
    """

    COST = Cost(
        inputs="num_numeric + num_categories * embedding_dim",
        products="inputs * width + (num_layers - 1) * width**2 + width * num_outputs",
        values="inputs + num_layers * width * (2 if dropout == 0 else 10)",
    )

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        num_layers: Count,
        width: Count,
        dropout: Fraction,
        embedding_dim: Count,
    ) -> None:
        super().__init__()
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=embedding_dim)
        self.layers = make_layers(
            num_numeric + self.categories.num_outputs, num_layers=num_layers, width=width, dropout=dropout
        )
        self.head = nn.Linear(width, num_outputs)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Run the layers."""
        return self.head(self.layers(torch.cat([numeric, self.categories(ids)], dim=1)))


def make_layers(num_inputs: int, *, num_layers: int, width: int, dropout: float) -> nn.Sequential:
    """`[B, num_inputs] -> [B, width]`. Without dropout there is no module for it: on a CPU it is dear."""
    layers: list[nn.Module] = []
    for index in range(num_layers):
        layers += [nn.Linear(num_inputs if index == 0 else width, width), nn.ReLU()]
        if dropout > 0:
            layers.append(Dropout(dropout))
    return nn.Sequential(*layers)
