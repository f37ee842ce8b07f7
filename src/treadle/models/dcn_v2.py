"""DCN V2: cross layers for feature interactions, and a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.models.mlp import make_layers
from treadle.schema import Count, Fraction


class DcnV2(nn.Module):
    """Cross layers, each of which raises the degree of feature interactions by 1, with a deep network.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        structure: `stacked`: the deep network takes the output of the cross layers; `parallel`: both take the
            features, and the output layer takes both outputs.
        num_cross_layers: number of cross layers; n of them give interactions of up to n + 1 features.
        rank: of the weight matrix of a cross layer, a product of two; None: full rank, one matrix.
        num_layers: number of hidden layers of the deep network.
        width: hidden units of each layer.
        dropout: dropout probability of hidden units.
        embedding_dim: embedding dimension of a categorical input.

    Source: "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems",
    arXiv 2008.13535; without its mixture of low-rank experts.
    """

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        structure: Literal["stacked", "parallel"],
        num_cross_layers: Count,
        rank: Count | None,
        num_layers: Count,
        width: Count,
        dropout: Fraction,
        embedding_dim: Count,
    ) -> None:
        super().__init__()
        self.structure = structure
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=embedding_dim)
        num_inputs = num_numeric + self.categories.num_outputs
        self.crosses = nn.ModuleList(CrossLayer(num_inputs, rank=rank) for _ in range(num_cross_layers))
        self.layers = make_layers(num_inputs, num_layers=num_layers, width=width, dropout=dropout)
        self.head = nn.Linear(width if structure == "stacked" else width + num_inputs, num_outputs)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Run the cross layers and the deep network."""
        first = torch.cat([numeric, self.categories(ids)], dim=1)
        crossed = first
        for cross in self.crosses:
            crossed = cross(first, crossed)
        if self.structure == "stacked":
            return self.head(self.layers(crossed))
        return self.head(torch.cat([crossed, self.layers(first)], dim=1))


class CrossLayer(nn.Module):
    """`first * (W x + b) + x`, element by element; W is `[F, F]`, or the product of `[F, rank]` and `[rank, F]`.

    Shape:
        first: `[B, F]`, the features; x: `[B, F]`, the output of the layer before.
        output: `[B, F]`.
    """

    def __init__(self, num_inputs: int, *, rank: int | None) -> None:
        super().__init__()
        self.linear: nn.Module = (
            nn.Linear(num_inputs, num_inputs)
            if rank is None
            else nn.Sequential(nn.Linear(num_inputs, rank, bias=False), nn.Linear(rank, num_inputs))
        )

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """Multiply and add."""
        return first * self.linear(x) + x
