"""The block of transformers that read sequences: all tokens look at all that are there."""

from __future__ import annotations

from torch import Tensor, nn

from treadle.models.dropout import Dropout
from treadle.models.ft_transformer import Attention


class TransformerBlock(nn.Module):
    """Attention over the tokens that are there, then a feed-forward layer.

    Shape:
        x: `[B, T, width]`, as the output.
        there: `[B, T]`, false for what no token looks at; None: all are looked at.
    """

    def __init__(self, *, width: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(num_heads=num_heads, width=width, dropout=0.0)
        drop = [Dropout(dropout)] if dropout > 0 else []
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), *drop, nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor, *, there: Tensor | None = None) -> Tensor:
        """Each layer has a residual connection."""
        x = x + self.attention(self.norm(x), num_queries=x.shape[1], there=there)
        return x + self.feed_forward(x)
