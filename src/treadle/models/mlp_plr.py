"""Multilayer perceptron over periodic embeddings of numbers (PLR-lite)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rtdl_num_embeddings import PeriodicEmbeddings
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.models.mlp import make_layers
from treadle.schema import Count, Fraction, Positive
from treadle.targets.costs import Cost


class MlpPlr(nn.Module):
    """Each number becomes sines and cosines of learned frequencies, then a shared linear layer and ReLU.

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
        num_frequencies: frequencies of each number.
        frequency_scale: standard deviation of the first frequencies: small means smooth functions first.
        numeric_embedding_dim: numbers that stand for a number.

    Source: "On Embeddings for Numerical Features in Tabular Deep Learning", arXiv 2203.05556; library
    `rtdl_num_embeddings`.
    """

    COST = Cost(
        inputs="num_numeric * numeric_embedding_dim + num_categories * embedding_dim",
        periodic="num_numeric * 2 * num_frequencies",
        embeddings="periodic * numeric_embedding_dim",
        products="embeddings + inputs * width + (num_layers - 1) * width**2 + width * num_outputs",
        values="3 * periodic + 2 * inputs + num_layers * width * (2 if dropout == 0 else 10)",
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
        num_frequencies: Count,
        frequency_scale: Positive,
        numeric_embedding_dim: Count,
    ) -> None:
        super().__init__()
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=embedding_dim)
        self.numbers = (
            PeriodicEmbeddings(
                num_numeric,
                numeric_embedding_dim,
                n_frequencies=num_frequencies,
                frequency_init_scale=frequency_scale,
                lite=True,
            )
            if num_numeric
            else nn.Unflatten(1, (0, numeric_embedding_dim))
        )
        num_inputs = num_numeric * numeric_embedding_dim + self.categories.num_outputs
        self.layers = make_layers(num_inputs, num_layers=num_layers, width=width, dropout=dropout)
        self.head = nn.Linear(width, num_outputs)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Embed, then run the layers."""
        embedded = self.numbers(numeric).flatten(1)
        return self.head(self.layers(torch.cat([embedded, self.categories(ids)], dim=1)))
