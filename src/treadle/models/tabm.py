"""TabM: an ensemble of MLPs that share most of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from treadle.models.categories import join_ids
from treadle.models.dropout import Dropout
from treadle.models.libraries import PeriodicEmbeddings, tabm
from treadle.models.piecewise import PiecewiseEmbeddings
from treadle.schema import Count, Fraction, IdsBefore, Positive
from treadle.targets.rules import OnlyWith

_AFFINE = "net.backbone.affine.weight"  # of `tabm-mini`: the only weights that members have for themselves


class TabM(nn.Module):
    """The predictions of `k` members (probabilities, not logits) are averaged; each is trained on its own loss.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, k, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        k: number of ensemble members.
        num_blocks: number of blocks.
        width: hidden units of each layer.
        dropout: dropout probability of hidden units.
        arch_type: `tabm`: each layer has adapters for each member; `tabm-mini`: only the first layer; `tabm-packed`:
            members share no weights.
        numeric_embedding: `periodic`: sine and cosine of learned frequencies; `piecewise`: piecewise linear between
            quantiles of the training rows; `none`: inputs as they are.
        num_frequencies: number of frequencies of each numeric input.
        frequency_scale: standard deviation of the initial frequencies; a small one favours smooth functions.
        num_bins: maximum number of bins of each numeric input; their edges are quantiles of the training rows.
        numeric_embedding_dim: embedding dimension of a numeric input.

    Source: "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", arXiv 2410.24210; library
    `tabm`.
    """

    RULES = (
        OnlyWith("numeric_embedding", "periodic", ("num_frequencies", "frequency_scale")),
        OnlyWith("numeric_embedding", "piecewise", ("num_bins",)),
        OnlyWith("numeric_embedding", ("periodic", "piecewise"), ("numeric_embedding_dim",)),
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
            self.net.cat_module = _OneHot(cardinalities)
        _set_dropout(self.net, dropout)

    def fit_inputs(self, numeric: Tensor) -> None:
        """Fit the edges of the bins to the numeric inputs `[M, N]` of the training rows."""
        if isinstance(self.net.num_module, PiecewiseEmbeddings):
            self.net.num_module.fit(numeric)

    def trace_ids(self, before: Sequence[IdsBefore]) -> dict[str, tuple[int, Tensor]]:
        """The inputs of the first layer: numbers, then an indicator of each id."""
        first = "net.backbone.blocks.0.0"
        held = {name: w for name, w in self.state_dict().items() if name in {f"{first}.weight", f"{first}.r", _AFFINE}}
        num_numbers = held[f"{first}.weight"].shape[1] - sum(len(each.places) for each in before)
        places = torch.cat([torch.arange(num_numbers), num_numbers + join_ids(before)])
        return dict.fromkeys(held, (1, places))

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """The outputs of all members."""
        return self.net(numeric if numeric.shape[1] else None, ids if self.num_categories else None)


class _OneHot(nn.Module):
    """Indicators `[B, sum of cardinalities]` of ids `[B, C]`, in one comparison where the library makes one a column.

    They are floats: the library's integers cannot be multiplied by a packed ensemble that has no numeric inputs.
    """

    columns: Tensor  # the column that each indicator looks at
    ids: Tensor  # and the id that it is for

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        sizes = torch.tensor(cardinalities)
        self.register_buffer("columns", torch.arange(len(sizes)).repeat_interleave(sizes), persistent=False)
        self.register_buffer("ids", torch.cat([torch.arange(size) for size in cardinalities]), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        return (ids[:, self.columns] == self.ids).to(torch.float32)


def _set_dropout(module: nn.Module, dropout: float) -> None:
    """Replace the library's dropout by a faster one, and one of probability 0, which takes time too, by nothing."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, Dropout(dropout) if dropout > 0 else nn.Identity())
        else:
            _set_dropout(child, dropout)
