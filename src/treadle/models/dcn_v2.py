"""DCN V2: layers that multiply features with each other, and a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from treadle.models.categories import CategoryEmbeddings
from treadle.models.mlp import make_layers
from treadle.schema import Count, Fraction
from treadle.targets.costs import Cost


class DcnV2(nn.Module):
    """Each cross layer adds products of one degree more; deep layers stand behind them or beside them.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: columns of numbers.
        cardinalities: number of different ids of each column of categories.
        num_outputs: numbers that come out for a row.
        structure: `stacked`: the deep layers read what the cross layers give; `parallel`: both read the
            features, and the head reads both.
        num_cross_layers: cross layers; n of them make products of up to n + 1 features.
        rank: of the matrix of a cross layer, which is the product of two narrow ones; None: one full matrix.
        num_layers: hidden layers of the deep part.
        width: units of each hidden layer.
        dropout: share of units that a step of training sets to 0.
        embedding_dim: numbers that stand for a category.

    Source: "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems",
    arXiv 2008.13535; without its mixture of low-rank experts.
    """

    COST = Cost(
        inputs="num_numeric + num_categories * embedding_dim",
        cross="inputs**2 if rank == None else 2 * inputs * rank",
        products="num_cross_layers * cross + inputs * width + (num_layers - 1) * width**2 + width * num_outputs",
        values="inputs + 3 * num_cross_layers * inputs + num_layers * width * (2 if dropout == 0 else 10)",
    )

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
        """Cross, then run the layers."""
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
        first: `[B, F]`, the features; x: `[B, F]`, what the layer before gives.
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
