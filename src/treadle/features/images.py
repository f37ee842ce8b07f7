"""From images to pixels, for a network that looks at them. Needs the extra `images`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, Literal

import polars as pl
import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.base import PixelReader
from treadle.images import decode_all
from treadle.schema import Count, ImageSpan


class Pixels(PixelReader):
    """The pixels of each image, for a network that reads images; they stay bytes until it does.

    An image of another size is resized, without regard to its proportions (bilinear, which also smooths what becomes
    smaller); colours become gray, or gray becomes colours, where the channels differ. A missing image is black.

    Args:
        columns: names of the input columns.
        height: of the images that the network sees [pixels].
        width: of the images that the network sees [pixels].
        channels: 1 for gray, 3 for colours.
    """

    LIBRARY: ClassVar[str] = "PIL"
    EXTRA: ClassVar[str] = "images"

    def __init__(self, *, columns: Sequence[str], height: Count, width: Count, channels: Literal[1, 3]) -> None:
        super().__init__(columns=columns)
        self.height = height
        self.width = width
        self.channels = channels

    @property
    def images(self) -> list[ImageSpan]:
        """One image a column, in their order."""
        size = self.height * self.width * self.channels
        starts = accumulate([size] * (len(self.columns) - 1), initial=0)
        return [ImageSpan(start, self.height, self.width, self.channels) for start in starts]

    def read_pixels(self, frame: pl.DataFrame) -> Tensor:
        """Pixels of the rows: `[B, columns * height * width * channels]` uint8."""
        size = {"height": self.height, "width": self.width, "channels": self.channels}
        parts = [torch.from_numpy(decode_all(read_contents(frame, column), **size)) for column in self.columns]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def read_contents(frame: pl.DataFrame, column: str) -> list[bytes | None]:
    """The files of a column of images.

    Raises:
        TreadleError: it holds none.
    """
    dtype = frame.schema[column]
    if dtype not in {pl.Binary(), pl.Null()}:
        raise TreadleError(f"{column!r} is of type {dtype}, not an image")
    contents: list[bytes | None] = frame[column].to_list()
    return contents
