"""FT-Transformer: a transformer whose tokens are the features of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from treadle.models.categories import CategoryEmbeddings
from treadle.models.dropout import Dropout
from treadle.schema import Count, Fraction, Positive


class FtTransformer(nn.Module):
    """Attention blocks over one token for each feature and a token [CLS], from which the output is computed.

    The token dimension D is `num_heads * head_dim`. There is no positional encoding: each feature has its own weights.
    Time and memory grow with the square of the number of tokens. A column cut into bins gives a token for each bin:
    use `Standardize` or `Quantile` instead.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        tokens: `[B, 1 + N + C, D]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        num_blocks: number of blocks.
        num_heads: number of attention heads of each block.
        head_dim: dimension of each attention head.
        hidden_factor: hidden units of a feed-forward layer, as a multiple of the token dimension.
        activation: of the feed-forward layers. `reglu`: a linear layer, gated by ReLU of a second one; `relu`: one
            linear layer, and ReLU.
        dropout: dropout probability in the feed-forward layers.
        attention_dropout: dropout probability of attention weights.

    Source: "Revisiting Deep Learning Models for Tabular Data", arXiv 2106.11959. As there, the first block has no norm
    before its attention. Keys have no bias: softmax would cancel it.
    """

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        num_blocks: Count,
        num_heads: Count,
        head_dim: Count,
        hidden_factor: Positive,
        activation: Literal["reglu", "relu"],
        dropout: Fraction,
        attention_dropout: Fraction,
    ) -> None:
        super().__init__()
        width = num_heads * head_dim
        self.tokenizer = FeatureTokenizer(num_numeric=num_numeric, cardinalities=cardinalities, width=width)
        self.blocks = nn.ModuleList(
            _Block(
                norm=nn.Identity() if index == 0 else nn.LayerNorm(width),
                attention=Attention(num_heads=num_heads, width=width, dropout=attention_dropout),
                feed_forward=_FeedForward(
                    width=width, hidden=max(1, int(width * hidden_factor)), activation=activation, dropout=dropout
                ),
            )
            for index in range(num_blocks)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, num_outputs))

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Run the blocks, and compute the output from the token [CLS]."""
        tokens = self.tokenizer(numeric, ids)
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            # Of the last block only the output for [CLS] is used.
            tokens = block(tokens, num_queries=1 if index == last else tokens.shape[1])
        return self.head(tokens[:, 0])


class FeatureTokenizer(nn.Module):
    """The token [CLS], then one for each numeric input (its value times a learned vector) and each categorical one.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, 1 + N + C, width]`.
    """

    def __init__(self, *, num_numeric: int, cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.empty(1, width))
        self.weight = nn.Parameter(torch.empty(num_numeric, width))
        self.bias = nn.Parameter(torch.empty(num_numeric + len(cardinalities), width))
        for parameter in (self.cls, self.weight, self.bias):
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)
        self.categories = CategoryEmbeddings(cardinalities=cardinalities, embedding_dim=width)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Compute the tokens."""
        numbers = numeric[:, :, None] * self.weight
        words = self.categories(ids).view(len(ids), ids.shape[1], self.cls.shape[1])
        features = torch.cat([numbers, words], dim=1) + self.bias
        return torch.cat([self.cls.expand(len(numeric), 1, -1), features], dim=1)


class Attention(nn.Module):
    """Multi-head attention whose queries are the first tokens only.

    Shape:
        x: `[B, T, width]`.
        there: `[B, T]`, false for what no token looks at; None: all are looked at.
        output: `[B, num_queries, width]`.
    """

    def __init__(self, *, num_heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, *, num_queries: int, there: Tensor | None = None) -> Tensor:
        """Scaled dot-product attention."""
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query(x[:, :num_queries]), self.key(x), self.value(x))
        )
        mixed = nnf.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if there is None else there[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    def __init__(self, *, norm: nn.Module, attention: Attention, feed_forward: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.attention = attention
        self.feed_forward = feed_forward

    def forward(self, x: Tensor, *, num_queries: int) -> Tensor:
        """Attention, then the feed-forward layer, each with a residual connection."""
        x = x[:, :num_queries] + self.attention(self.norm(x), num_queries=num_queries)
        return x + self.feed_forward(x)


class _FeedForward(nn.Sequential):
    def __init__(self, *, width: int, hidden: int, activation: str, dropout: float) -> None:
        inner = (
            [nn.Linear(width, 2 * hidden), _ReGlu()] if activation == "reglu" else [nn.Linear(width, hidden), nn.ReLU()]
        )
        drop = [Dropout(dropout)] if dropout > 0 else []
        super().__init__(nn.LayerNorm(width), *inner, *drop, nn.Linear(hidden, width))


class _ReGlu(nn.Module):
    """`[..., 2 H] -> [..., H]`: the first half times ReLU of the second."""

    def forward(self, x: Tensor) -> Tensor:
        values, gates = x.chunk(2, dim=-1)
        return values * gates.relu()
