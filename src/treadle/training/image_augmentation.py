"""Augmentation of images: they are shifted and mirrored, each by itself, on the device that they are on.

Random numbers are torch's own, as those of `treadle.training.augmentation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from treadle.errors import TreadleError
from treadle.schema import Batch, ImageSpan, Part

if TYPE_CHECKING:
    from treadle.training.augmentation import Augment, MixedBatch


class ShiftFlip:
    """Each image is shifted by up to a share of its size in each direction, and mirrored left to right by chance.

    What moves in is black. All images of a row are moved alike. It is what "pad and crop" does.

    Args:
        numeric_columns: the column that each number comes from.
        id_columns: the column that each id comes from.
        images: where the images of a row are among its pixels.
        shift: the farthest, as a share of the height and of the width, in whole pixels; 0: none.
        flip: probability that a row's images are mirrored; 0 where left and right have a meaning, as in a 6.
        mix: what mixes the moved rows, a `_target_` of its own such as Mixup; null: nothing.

    Source: "Deep Residual Learning for Image Recognition", arXiv 1512.03385, section 4.2.
    """

    def __init__(
        self,
        *,
        numeric_columns: Sequence[str],
        id_columns: Sequence[str],
        images: Sequence[ImageSpan],
        shift: Part,
        flip: Part,
        mix: Callable[..., Augment] | None,
    ) -> None:
        if not images:
            raise TreadleError("augmentation: ShiftFlip moves images, and no block of features gives the pixels of one")
        self.images = list(images)
        self.shift = shift
        self.flip = flip
        columns = {"numeric_columns": numeric_columns, "id_columns": id_columns}
        self.mix = None if mix is None else mix(**columns, images=images)

    def __call__(self, batch: Batch) -> Batch | MixedBatch:
        """Move, then mix."""
        rows, device = len(batch.pixels), batch.pixels.device
        moves = torch.rand(2, rows, device=device)
        mirrored = torch.rand(rows, device=device) < self.flip
        parts = [self._move(image, moves, mirrored) for image in cut_images(batch.pixels, self.images)]
        moved = batch._replace(pixels=torch.cat([part.flatten(1) for part in parts], dim=1))
        return moved if self.mix is None else self.mix(moved)

    def _move(self, image: Tensor, moves: Tensor, mirrored: Tensor) -> Tensor:
        """`[B, height, width, channels]`, each by its move `[2, B]`, from 0 for the farthest to 1 for the other one."""
        rows, height, width, _ = image.shape
        far = [int(self.shift * size) for size in (height, width)]
        down, right = (((2 * most + 1) * part).long() for most, part in zip(far, moves, strict=True))
        row = torch.arange(rows, device=image.device)
        line = torch.arange(height, device=image.device) + down[:, None]
        place = torch.arange(width, device=image.device).expand(rows, width)
        place = torch.where(mirrored[:, None], width - 1 - place, place) + right[:, None]
        padded = functional.pad(image, (0, 0, far[1], far[1], far[0], far[0]))
        return padded[row[:, None, None], line[:, :, None], place[:, None, :]]


def cut_images(pixels: Tensor, images: Sequence[ImageSpan]) -> Iterator[Tensor]:
    """Views `[B, height, width, channels]` of pixels `[B, P]`."""
    for image in images:
        yield pixels[:, image.start : image.stop].reshape(len(pixels), image.height, image.width, image.channels)


def paste_rectangles(own: Tensor, other: Tensor, *, images: Sequence[ImageSpan], share: Tensor) -> Tensor:
    """Pixels `[B, P]` of which a rectangle of each image comes from another row: the same one for all rows.

    Args:
        own: of the rows.
        other: of their partners.
        images: where they are.
        share: `[]` of the area that stays a row's own.
    """
    if not images:
        return own
    parts = []
    for mine, theirs in zip(cut_images(own, images), cut_images(other, images), strict=True):
        inside = torch.ones((), dtype=torch.bool, device=own.device)
        for dim, size in ((1, mine.shape[1]), (2, mine.shape[2])):
            length = size * (1 - share).sqrt()
            begin = torch.rand((), device=own.device) * (size - length)
            place = torch.arange(size, device=own.device) + 0.5
            within = (place >= begin) & (place < begin + length)
            inside = inside & within.reshape([-1 if axis == dim else 1 for axis in range(4)])
        parts.append(torch.where(inside, theirs, mine).flatten(1))
    return torch.cat(parts, dim=1)
