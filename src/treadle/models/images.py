"""What networks do with pixels first: images as tensors, their values around 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.schema import ImageSpan

_MIDDLE = 127.5  # of a byte's range


class ImageInput(nn.Module):
    """The images of a row as one tensor: their channels one after the other, from -1 (black) to 1 (white).

    Args:
        images: where the images are among the pixels; all have the same height and width.
    """

    def __init__(self, images: Sequence[ImageSpan]) -> None:
        super().__init__()
        if not images:
            raise TreadleError("model: it looks at images, and no block of features gives pixels; see features.images")
        sizes = {(image.height, image.width) for image in images}
        if len(sizes) > 1:
            found = ", ".join(f"{height} x {width}" for height, width in sorted(sizes))
            raise TreadleError(f"model: the images of a row must have one size, found {found}; set it in features")
        self.images = list(images)
        self.height, self.width = sizes.pop()
        self.num_channels = sum(image.channels for image in images)

    def forward(self, pixels: Tensor) -> Tensor:
        """`[B, P]` bytes or floats to `[B, channels, height, width]`, channels last in memory."""
        parts = [
            pixels[:, image.start : image.stop].reshape(-1, self.height, self.width, image.channels)
            for image in self.images
        ]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)
        return whole.permute(0, 3, 1, 2).float() / _MIDDLE - 1
