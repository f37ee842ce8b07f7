"""FT-Transformer: every feature is a token, and attention lets them look at each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from treadle.models.categories import CategoryEmbeddings
from treadle.models.dropout import Dropout
from treadle.schema import Count, Fraction, Positive
from treadle.targets.costs import Cost


class FtTransformer(nn.Module):
    """Tokens of all features and one more, [CLS], go through blocks of attention; [CLS] is read at the end.

    Tokens are `num_heads * head_dim` wide, here named D. They carry no position: a feature is known by its weights.
    Time and memory grow with the square of the number of tokens. A column that is cut into bins is a token a bin: give
    numbers whole, by `Standardize` or `Quantile`.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        tokens: `[B, 1 + N + C, D]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: columns of numbers.
        cardinalities: number of different ids of each column of categories.
        num_outputs: numbers that come out for a row.
        num_blocks: blocks, one after another.
        num_heads: attentions side by side in a block.
        head_dim: numbers of a token that one head sees.
        hidden_factor: units inside a feed-forward layer, as a multiple of the width of a token.
        activation: of the feed-forward layer. `reglu`: a second linear layer, through ReLU, gates the first; `relu`:
            one layer, and no gate.
        dropout: share of units of a feed-forward layer that a step of training sets to 0.
        attention_dropout: share of attention weights that a step of training sets to 0.

    Source: "Revisiting Deep Learning Models for Tabular Data", arXiv 2106.11959. As there, the first block has no norm
    before its attention. Keys have no bias: softmax would cancel it.
    """

    COST = Cost(
        tokens="1 + num_numeric + num_categories",
        width="num_heads * head_dim",
        hidden="width * hidden_factor * (3 if activation == 'reglu' else 2)",
        whole="tokens * (4 * width**2 + 2 * tokens * width + width * hidden)",
        last="(2 * tokens + 2) * width**2 + 2 * tokens * width + width * hidden",  # it reads [CLS] alone
        products="(num_blocks - 1) * whole + last + width * num_outputs",
        values="12 * tokens * width + (num_blocks - 1) * tokens * (25 * width + 2 * hidden + 2 * num_heads * tokens)",
    )

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
        """Run the blocks, and read the token [CLS]."""
        tokens = self.tokenizer(numeric, ids)
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            # What the last block would give for other tokens is not read.
            tokens = block(tokens, num_queries=1 if index == last else tokens.shape[1])
        return self.head(tokens[:, 0])


class FeatureTokenizer(nn.Module):
    """[CLS], then a vector for each number (its value times a learned direction), then one for each category.

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
        """Make the tokens."""
        numbers = numeric[:, :, None] * self.weight
        words = self.categories(ids).view(len(ids), ids.shape[1], self.cls.shape[1])
        features = torch.cat([numbers, words], dim=1) + self.bias
        return torch.cat([self.cls.expand(len(numeric), 1, -1), features], dim=1)


class Attention(nn.Module):
    """Multi-head attention of the first tokens over all of them.

    Shape:
        x: `[B, T, width]`.
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

    def forward(self, x: Tensor, *, num_queries: int) -> Tensor:
        """Mix the values by how well query and key agree."""
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.query(x[:, :num_queries]), self.key(x), self.value(x))
        )
        mixed = nnf.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        return self.out(mixed.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    def __init__(self, *, norm: nn.Module, attention: Attention, feed_forward: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.attention = attention
        self.feed_forward = feed_forward

    def forward(self, x: Tensor, *, num_queries: int) -> Tensor:
        """Add what attention, then what the feed-forward layer gives."""
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
