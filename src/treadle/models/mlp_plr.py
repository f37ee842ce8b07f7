"""Multilayer perceptron over periodic embeddings of numeric inputs (PLR-lite)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.models.libraries import PeriodicEmbeddings
from treadle.models.mlp import make_layers
from treadle.schema import Count, Fraction, Positive


class MlpPlr(nn.Module):
    """Each numeric input is embedded by sine and cosine of learned frequencies, a shared linear layer and ReLU.

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
        num_frequencies: number of frequencies of each numeric input.
        frequency_scale: standard deviation of the initial frequencies; a small one favours smooth functions.
        numeric_embedding_dim: embedding dimension of a numeric input.

    Source: "On Embeddings for Numerical Features in Tabular Deep Learning", arXiv 2203.05556; library
    `rtdl_num_embeddings`.
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
