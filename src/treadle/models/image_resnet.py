"""A small residual network that looks at images, in front of any other network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.models.images import ImageInput
from treadle.models.members import require_unfitted
from treadle.schema import Count, ImageSpan


class ImageResNet(nn.Module):
    """The images of a row become one vector, which another network takes beside the row's numbers and categories.

    Both are trained together, from the beginning. A first convolution keeps the size, as suits small images; each
    further stage halves it. The vector, of dimension D = `widths[-1]`, is the mean over what is left. It is for images
    of about 8 to 100 pixels in width: larger ones are made smaller by their step of the features.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`; pixels: `[B, P]` bytes, or floats of the same range.
        image: `[B, channels of all images, height, width]`, channels last in memory, as the pixels lie.
        output: that of `member` for numeric `[B, N + D]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each input of ids.
        num_outputs: output dimension: 1, or the number of classes.
        images: where the images of a row are among its pixels; all have the same height and width.
        widths: channels of each stage.
        num_blocks: residual blocks of each stage.
        member: the network that takes the vector, a `_target_` of its own.

    Source: "Deep Residual Learning for Image Recognition", arXiv 1512.03385, with norms before the convolutions
    ("Identity Mappings in Deep Residual Networks", arXiv 1603.05027).
    """

    READS: ClassVar[str] = "images"

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        images: Sequence[ImageSpan],
        widths: Sequence[Count],
        num_blocks: Count,
        member: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        if not widths:
            raise TreadleError("model.widths: must list the channels of one stage or more")
        self.read = ImageInput(images)
        stages: list[nn.Module] = [_convolve(self.read.num_channels, widths[0], stride=1)]
        before = widths[0]
        for place, width in enumerate(widths):
            for block in range(num_blocks):
                stages.append(_Block(before, width, stride=2 if place > 0 and block == 0 else 1))
                before = width
        self.stages = nn.Sequential(*stages, nn.BatchNorm2d(before), nn.ReLU())
        self.member = member(num_numeric=num_numeric + before, cardinalities=cardinalities, num_outputs=num_outputs)
        require_unfitted(self.member, what="an image")

    def forward(self, numeric: Tensor, ids: Tensor, pixels: Tensor) -> Tensor:
        """Look at the images, and run the other network."""
        return self.member(torch.cat([numeric, self.look(pixels)], dim=1), ids)

    def look(self, pixels: Tensor) -> Tensor:
        """`[B, P] -> [B, D]`."""
        return self.stages(self.read(pixels)).mean(dim=(2, 3))


class _Block(nn.Module):
    """Two convolutions beside the identity, or beside a convolution of one pixel where the shape changes."""

    def __init__(self, before: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.norm = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.convolutions = nn.Sequential(
            _convolve(before, width, stride=stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _convolve(width, width, stride=1),
        )
        same = stride == 1 and before == width
        self.short = nn.Identity() if same else nn.Conv2d(before, width, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, before, h, w] -> [B, width, h / stride, w / stride]`."""
        ready = self.norm(x)
        short = x if isinstance(self.short, nn.Identity) else self.short(ready)
        return short + self.convolutions(ready)


def _convolve(before: int, width: int, *, stride: int) -> nn.Conv2d:
    return nn.Conv2d(before, width, kernel_size=3, stride=stride, padding=1, bias=False)
