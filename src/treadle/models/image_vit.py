"""A small vision transformer, in front of any other network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.models.dropout import Dropout
from treadle.models.images import ImageInput
from treadle.models.members import require_unfitted
from treadle.models.transformer_block import TransformerBlock
from treadle.schema import Count, Fraction, ImageSpan


class ImageVit(nn.Module):
    """The images of a row, cut into patches, become one vector, which another network takes beside the row's others.

    Both are trained together, from the beginning. Each patch is a token that knows its place; the vector, of dimension
    D = `num_heads * head_dim`, is the mean of what the last block gives. It has less built in than a network of
    convolutions, and so needs more images, or more augmentation.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`; pixels: `[B, P]` bytes, or floats of the same range.
        tokens: `[B, T, D]`, T patches of an image.
        output: that of `member` for numeric `[B, N + D]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each input of ids.
        num_outputs: output dimension: 1, or the number of classes.
        images: where the images of a row are among its pixels; all have the same height and width.
        patch: height and width of a patch, of which the image's are multiples [pixels].
        num_blocks: number of blocks.
        num_heads: number of attention heads of each block.
        head_dim: dimension of each attention head.
        hidden_factor: hidden units of a feed-forward layer, as a multiple of D.
        dropout: dropout probability of patches' vectors, and in the feed-forward layers.
        member: the network that takes the vector, a `_target_` of its own.

    Source: "An Image is Worth 16x16 Words", arXiv 2010.11929, with the mean in place of a class token
    ("Better plain ViT baselines for ImageNet-1k", arXiv 2205.01580).
    """

    READS: ClassVar[str] = "images"

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        images: Sequence[ImageSpan],
        patch: Count,
        num_blocks: Count,
        num_heads: Count,
        head_dim: Count,
        hidden_factor: Count,
        dropout: Fraction,
        member: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        width = num_heads * head_dim
        self.read = ImageInput(images)
        if self.read.height % patch or self.read.width % patch:
            size = f"{self.read.height} x {self.read.width}"
            raise TreadleError(f"model.patch: images of {size} pixels are no whole patches of {patch} x {patch}")
        num_patches = (self.read.height // patch) * (self.read.width // patch)
        self.cut = nn.Conv2d(self.read.num_channels, width, kernel_size=patch, stride=patch)
        self.places = nn.Parameter(torch.empty(num_patches, width))
        nn.init.normal_(self.places, std=width**-0.5)
        self.drop = Dropout(dropout) if dropout > 0 else nn.Identity()
        self.blocks = nn.ModuleList(
            TransformerBlock(width=width, num_heads=num_heads, hidden=hidden_factor * width, dropout=dropout)
            for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.member = member(num_numeric=num_numeric + width, cardinalities=cardinalities, num_outputs=num_outputs)
        require_unfitted(self.member, what="an image")

    def forward(self, numeric: Tensor, ids: Tensor, pixels: Tensor) -> Tensor:
        """Look at the images, and run the other network."""
        return self.member(torch.cat([numeric, self.look(pixels)], dim=1), ids)

    def look(self, pixels: Tensor) -> Tensor:
        """`[B, P] -> [B, D]`."""
        tokens = self.drop(self.cut(self.read(pixels)).flatten(2).transpose(1, 2) + self.places)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).mean(dim=1)
