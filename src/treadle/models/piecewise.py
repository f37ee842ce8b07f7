"""Piecewise-linear embeddings of numeric inputs, whose bins are fitted to the training rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from treadle.models.libraries import PiecewiseLinearEmbeddings

MAX_ROWS = 1_000_000  # that quantiles are computed from: more would not move them
RANGE = 3.0  # of the bins before they are fitted: inputs are standardised


class PiecewiseEmbeddings(PiecewiseLinearEmbeddings):  # type: ignore[misc] # the library has no types
    """Each numeric input becomes a vector that is piecewise linear in it; before training it is linear.

    Shape:
        input: `[B, N]`.
        output: `[B, N, embedding_dim]`.

    Args:
        num_numeric: number of numeric inputs.
        num_bins: maximum number of bins of each numeric input.
        embedding_dim: embedding dimension of a numeric input.

    Source: arXiv 2203.05556, in the form of arXiv 2410.24210; library `rtdl_num_embeddings`, version B.
    """

    def __init__(self, *, num_numeric: int, num_bins: int, embedding_dim: int) -> None:
        even = torch.linspace(-RANGE, RANGE, num_bins + 1)
        super().__init__([even] * num_numeric, embedding_dim, activation=False, version="B")
        self.impl = Bins(even.repeat(num_numeric, 1))  # the library's has other tensors for other rows

    def fit(self, numeric: Tensor) -> None:
        """Place the bins between quantiles of the training rows `[M, N]`."""
        self.impl.fit(numeric)


class Bins(nn.Module):
    """Piecewise-linear encoding: the fraction, 0 to 1, to which a value fills each bin, `[B, N] -> [B, N, num_bins]`.

    Surplus bins of a column, several of whose quantiles are equal, stay at 0.

    Args:
        edges: `[N, num_bins + 1]`, ascending.
    """

    weight: Tensor  # [N, num_bins] 1 / width
    bias: Tensor  # [N, num_bins] -left edge / width

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", 1.0 / edges.diff())
        self.register_buffer("bias", -edges[:, :-1] / edges.diff())

    def fit(self, numeric: Tensor, *, max_rows: int = MAX_ROWS) -> None:
        """Place the bins; a constant column gets none."""
        few = numeric[:: max(1, -(-len(numeric) // max_rows))]
        levels = torch.linspace(0.0, 1.0, self.weight.shape[1] + 1)
        self.weight.zero_()
        self.bias.zero_()
        for index, column in enumerate(few.T):
            edges = torch.quantile(column, levels).unique()
            num_bins = len(edges) - 1
            self.weight[index, :num_bins] = 1.0 / edges.diff()
            self.bias[index, :num_bins] = -edges[:-1] / edges.diff()

    def forward(self, numeric: Tensor) -> Tensor:
        """Encode."""
        return torch.addcmul(self.bias, self.weight, numeric[..., None]).clamp(0.0, 1.0)
