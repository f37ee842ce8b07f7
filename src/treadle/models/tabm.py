"""TabM: an ensemble of MLPs that share most of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import tabm
import torch
from pydantic import Field
from rtdl_num_embeddings import PeriodicEmbeddings
from torch import Tensor, nn

from treadle.models.dropout import Dropout
from treadle.models.piecewise import PiecewiseEmbeddings
from treadle.schema import Count, Fraction, Positive
from treadle.targets.costs import Cost
from treadle.targets.rules import OnlyWith


class TabM(nn.Module):
    """`k` members judge each row; they are averaged as probabilities, and each is trained by its own loss.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, k, num_outputs]`.

    Args:
        num_numeric: columns of numbers.
        cardinalities: number of different ids of each column of categories.
        num_outputs: numbers that come out for a row.
        k: members.
        num_blocks: blocks, one after another.
        width: units of each hidden layer.
        dropout: share of units that a step of training sets to 0.
        arch_type: `tabm`: every layer has adapters of its members; `tabm-mini`: the first alone; `tabm-packed`: members
            share no weights.
        numeric_embedding: `periodic`: sines and cosines of learned frequencies; `piecewise`: straight lines between
            quantiles of the training rows; `none`: numbers as they are.
        num_frequencies: frequencies of each number.
        frequency_scale: standard deviation of the first frequencies: small means smooth functions first.
        num_bins: bins of each number at most, between as many quantiles.
        numeric_embedding_dim: numbers that stand for a number.

    Source: "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", arXiv 2410.24210; library
    `tabm`.
    """

    RULES = (
        OnlyWith("numeric_embedding", "periodic", ("num_frequencies", "frequency_scale")),
        OnlyWith("numeric_embedding", "piecewise", ("num_bins",)),
        OnlyWith("numeric_embedding", ("periodic", "piecewise"), ("numeric_embedding_dim",)),
    )

    COST = Cost(
        inputs="num_numeric * (numeric_embedding_dim or 1) + num_words",
        embedded="num_numeric * (2 * (num_frequencies or 0) + (num_bins or 0))",
        products="embedded * (numeric_embedding_dim or 1)"
        " + k * (inputs * width + (num_blocks - 1) * width**2 + width * num_outputs)",
        values="3 * embedded + k * (2 * inputs + num_blocks * width * (5 if dropout == 0 else 10))",
    )

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        k: Count,
        num_blocks: Count,
        width: Count,
        dropout: Fraction,
        arch_type: Literal["tabm", "tabm-mini", "tabm-packed"],
        numeric_embedding: Literal["none", "periodic", "piecewise"],
        num_frequencies: Count | None,
        frequency_scale: Positive | None,
        num_bins: Annotated[int, Field(ge=2)] | None,
        numeric_embedding_dim: Count | None,
    ) -> None:
        super().__init__()
        embeddings: nn.Module | None = None
        if numeric_embedding == "periodic" and num_numeric:
            assert None not in {num_frequencies, frequency_scale, numeric_embedding_dim}, "RULES hold them together"
            embeddings = PeriodicEmbeddings(
                num_numeric,
                numeric_embedding_dim,
                n_frequencies=num_frequencies,
                frequency_init_scale=frequency_scale,
                lite=True,
            )
        elif numeric_embedding == "piecewise" and num_numeric:
            assert num_bins is not None, "RULES hold them together"
            assert numeric_embedding_dim is not None, "RULES hold them together"
            embeddings = PiecewiseEmbeddings(
                num_numeric=num_numeric, num_bins=num_bins, embedding_dim=numeric_embedding_dim
            )
        self.num_categories = len(cardinalities)
        self.net = tabm.TabM.make(
            n_num_features=num_numeric,
            cat_cardinalities=list(cardinalities),
            d_out=num_outputs,
            num_embeddings=embeddings,
            k=k,
            n_blocks=num_blocks,
            d_block=width,
            dropout=dropout,
            arch_type=arch_type,
        )
        if cardinalities:
            self.net.cat_module = nn.Sequential(self.net.cat_module, _AsFloat())
        _set_dropout(self.net, dropout)

    def fit_inputs(self, numeric: Tensor) -> None:
        """Learn from the training rows `[M, N]` what does not change while weights do: where bins lie."""
        if isinstance(self.net.num_module, PiecewiseEmbeddings):
            self.net.num_module.fit(numeric)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Every member's output."""
        return self.net(numeric if numeric.shape[1] else None, ids if self.num_categories else None)


class _AsFloat(nn.Module):
    """The library's one-hot gives integers, which a packed ensemble cannot multiply where no number stands beside."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.float32)


def _set_dropout(module: nn.Module, dropout: float) -> None:
    """Replace the library's dropout by a cheaper one, and dropout of nothing by nothing: it is dear, too."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, Dropout(dropout) if dropout > 0 else nn.Identity())
        else:
            _set_dropout(child, dropout)
