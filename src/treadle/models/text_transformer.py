"""A transformer that reads texts, in front of any other network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn

from treadle.models.categories import join_ids
from treadle.models.dropout import Dropout
from treadle.models.members import require_unfitted
from treadle.models.transformer_block import TransformerBlock
from treadle.schema import Count, Fraction, IdsBefore, TokenSpan


class TextTransformer(nn.Module):
    """The texts of a row become one vector, which another network takes beside the row's numbers and categories.

    Both are trained together, from the beginning. The tokens of all texts of a row are one sequence, after a token
    [CLS]; the vector, of dimension D = `num_heads * head_dim`, is the mean of what the last block gives for those that
    are there.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`, of which `texts` are tokens and the others categories.
        tokens: `[B, 1 + T, D]`, T = the lengths of all texts.
        output: that of `member` for numeric `[B, N + D]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each input of ids.
        num_outputs: output dimension: 1, or the number of classes.
        texts: which inputs of ids are the tokens of one text; 0 is no token.
        num_blocks: number of blocks.
        num_heads: number of attention heads of each block.
        head_dim: dimension of each attention head.
        hidden_factor: hidden units of a feed-forward layer, as a multiple of D.
        dropout: dropout probability of tokens' vectors, and in the feed-forward layers.
        member: the network that takes the vector, a `_target_` of its own.

    Source: "Attention Is All You Need", arXiv 1706.03762, with norms before the layers (arXiv 2002.04745).
    """

    READS: ClassVar[str] = "texts"

    read: Tensor  # [T] positions of the tokens among the ids
    kept: Tensor  # [C - T] positions of the categories
    offsets: Tensor  # [T] first row of each position's vocabulary in the table

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        texts: Sequence[TokenSpan],
        num_blocks: Count,
        num_heads: Count,
        head_dim: Count,
        hidden_factor: Count,
        dropout: Fraction,
        member: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        width = num_heads * head_dim
        read = [place for span in texts for place in range(span.start, span.start + span.length)]
        kept = [place for place in range(len(cardinalities)) if place not in set(read)]
        sizes = {span.vocabulary: cardinalities[span.start] for span in texts}
        self.firsts = [next(span.start for span in texts if span.vocabulary == number) for number in sizes]
        self.register_buffer("read", torch.tensor(read, dtype=torch.int64), persistent=False)
        self.register_buffer("kept", torch.tensor(kept, dtype=torch.int64), persistent=False)
        firsts = dict(zip(sizes, accumulate([0, *sizes.values()]), strict=False))
        offsets = [firsts[span.vocabulary] for span in texts for _ in range(span.length)]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)
        self.table = nn.Embedding(sum(sizes.values()), width)
        self.places = nn.Parameter(torch.empty(1 + len(read), width))  # of the first, [CLS] itself
        for parameter in (self.table.weight, self.places):
            nn.init.normal_(parameter, std=width**-0.5)
        self.drop = Dropout(dropout) if dropout > 0 else nn.Identity()
        self.blocks = nn.ModuleList(
            TransformerBlock(width=width, num_heads=num_heads, hidden=hidden_factor * width, dropout=dropout)
            for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.member = member(
            num_numeric=num_numeric + width,
            cardinalities=[cardinalities[place] for place in kept],
            num_outputs=num_outputs,
        )
        require_unfitted(self.member, what="a text")

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Read the texts, and run the other network."""
        return self.member(torch.cat([numeric, self.read_texts(ids[:, self.read])], dim=1), ids[:, self.kept])

    def trace_ids(self, before: Sequence[IdsBefore]) -> dict[str, tuple[int, Tensor]]:
        """The rows of the table of tokens: those of one vocabulary behind those of another."""
        return {"table.weight": (0, join_ids([before[place] for place in self.firsts]))}

    def select_ids(self, before: Sequence[IdsBefore]) -> list[IdsBefore]:
        """The categories, which the other network sees."""
        return [before[place] for place in self.kept.tolist()]

    def read_texts(self, tokens: Tensor) -> Tensor:
        """`[B, T] -> [B, D]`."""
        there = torch.cat([tokens.new_ones(len(tokens), 1), tokens], dim=1) != 0
        words = self.table(tokens + self.offsets)
        begin = words.new_zeros(len(words), 1, words.shape[2])
        vectors = self.drop(torch.cat([begin, words], dim=1) + self.places)
        for block in self.blocks:
            vectors = block(vectors, there=there)
        shares = there.to(vectors.dtype) / there.sum(dim=1, keepdim=True)
        return (self.norm(vectors) * shares[:, :, None]).sum(dim=1)
