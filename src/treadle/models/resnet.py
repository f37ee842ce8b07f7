"""Residual network for tabular data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.models.dropout import Dropout
from treadle.schema import Count, Fraction, Positive


class ResNet(nn.Module):
    """Residual blocks of LayerNorm, linear layer, ReLU and linear layer.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        num_blocks: number of blocks.
        width: hidden units of each layer.
        hidden_factor: hidden units inside a block, as a multiple of `width`.
        dropout: dropout probability of hidden units.
        embedding_dim: embedding dimension of a categorical input.

    Source: "Revisiting Deep Learning Models for Tabular Data", arXiv 2106.11959; with LayerNorm in place of
    BatchNorm, so that no output depends on the other rows of a batch.
    """

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        num_blocks: Count,
        width: Count,
        hidden_factor: Positive,
        dropout: Fraction,
        embedding_dim: Count,
    ) -> None:
        super().__init__()
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=embedding_dim)
        self.first = nn.Linear(num_numeric + self.categories.num_outputs, width)
        hidden = int(width * hidden_factor)
        self.blocks = nn.ModuleList(_Block(width=width, hidden=hidden, dropout=dropout) for _ in range(num_blocks))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, num_outputs))

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Run the blocks."""
        x = self.first(torch.cat([numeric, self.categories(ids)], dim=1))
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class _Block(nn.Sequential):
    def __init__(self, *, width: int, hidden: int, dropout: float) -> None:
        drop = [Dropout(dropout)] if dropout > 0 else []
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), *drop, nn.Linear(hidden, width), *drop
        )
