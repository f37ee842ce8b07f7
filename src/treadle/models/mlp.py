"""Multilayer perceptron over numeric inputs and embeddings of categories."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.models.dropout import Dropout
from treadle.schema import Count, Fraction


class Mlp(nn.Module):
    """Hidden layers of equal width with ReLU.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        num_layers: number of hidden layers.
        width: hidden units of each layer.
        dropout: dropout probability of hidden units.
        embedding_dim: embedding dimension of a categorical input.
    """

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
    """`[B, num_inputs] -> [B, width]`. Without dropout there is no module for it: on a CPU it takes time."""
    layers: list[nn.Module] = []
    for index in range(num_layers):
        layers += [nn.Linear(num_inputs if index == 0 else width, width), nn.ReLU()]
        if dropout > 0:
            layers.append(Dropout(dropout))
    return nn.Sequential(*layers)
