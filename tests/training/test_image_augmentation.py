"""Images that are shifted, mirrored and mixed: which pixels move where."""

import pytest
import torch

from treadle.errors import TreadleError
from treadle.schema import Batch, ImageSpan
from treadle.training.augmentation import CutMix, Mixup
from treadle.training.image_augmentation import ShiftFlip, cut_images

IMAGES = [ImageSpan(0, 6, 8, 1), ImageSpan(48, 6, 8, 3)]
COLUMNS = {"numeric_columns": ["a"], "id_columns": [], "images": IMAGES}


def make_rows(num_rows=50):
    index = torch.arange(num_rows)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(1, 256, (num_rows, IMAGES[-1].stop), generator=generator).byte()
    return Batch(index[:, None].float(), torch.zeros(num_rows, 0).long(), index.float(), torch.ones(num_rows), pixels)


def augment(kind, rows, *, seed=0, **arguments):
    torch.manual_seed(seed)
    return kind(**COLUMNS, **arguments)(rows)


def shift(image, down, right):
    """What moves in is black."""
    moved = torch.zeros_like(image)
    height, width = image.shape[:2]
    there = image[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    moved[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = there
    return moved


def test_each_row_is_shifted_by_itself_and_its_images_together():
    rows = make_rows()

    moved = augment(ShiftFlip, rows, shift=0.34, flip=0.0, mix=None)

    seen = set()
    for before, after in zip(
        zip(*cut_images(rows.pixels, IMAGES), strict=True),
        zip(*cut_images(moved.pixels, IMAGES), strict=True),
        strict=True,
    ):
        moves = [(d, r) for d in range(-2, 3) for r in range(-2, 3) if torch.equal(shift(before[0], d, r), after[0])]
        assert len(moves) == 1
        assert torch.equal(shift(before[1], *moves[0]), after[1])
        seen.update(moves)
    assert len(seen) > 15  # of 25
    assert moved.pixels.dtype == torch.uint8
    assert torch.equal(moved.target, rows.target)


def test_a_share_of_the_rows_is_mirrored():
    rows = make_rows(400)
    before = next(cut_images(rows.pixels, IMAGES))

    after = next(cut_images(augment(ShiftFlip, rows, shift=0, flip=0.3, mix=None).pixels, IMAGES))

    own = (after == before).flatten(1).all(dim=1)
    mirrored = (after == before.flip(2)).flatten(1).all(dim=1)
    assert (own ^ mirrored).all()
    assert mirrored.double().mean() == pytest.approx(0.3, abs=0.08)


def test_the_same_seed_moves_alike():
    rows, how = make_rows(), {"shift": 0.2, "flip": 0.5, "mix": None}

    assert torch.equal(augment(ShiftFlip, rows, **how).pixels, augment(ShiftFlip, rows, **how).pixels)
    assert not torch.equal(augment(ShiftFlip, rows, **how).pixels, augment(ShiftFlip, rows, seed=1, **how).pixels)


def test_cutmix_takes_a_rectangle_of_the_partner_whose_area_is_its_share():
    rows = make_rows()
    mixed = augment(CutMix, rows, alpha=1.0, seed=3)
    partner = rows.pixels[mixed.partner_target.long()]

    theirs = next(cut_images((mixed.pixels != rows.pixels).byte(), IMAGES))[:, :, :, 0].bool()
    places = theirs.any(dim=0)

    lines, columns = places.any(dim=1), places.any(dim=0)
    assert torch.equal(places, lines[:, None] & columns)  # one rectangle, the same for all rows
    assert places.double().mean() == pytest.approx(1 - float(mixed.share), abs=0.15)
    assert 0.1 < mixed.share < 0.9
    assert ((mixed.pixels == rows.pixels) | (mixed.pixels == partner)).all()


def test_mixup_takes_the_mean_of_pixels_after_they_were_moved():
    rows = make_rows()
    mixed = augment(ShiftFlip, rows, shift=0, flip=0.0, mix=lambda **columns: Mixup(**columns, alpha=0.5))
    partner = rows.pixels[mixed.partner_target.long()]

    assert torch.allclose(mixed.pixels, mixed.share * rows.pixels + (1 - mixed.share) * partner)


def test_without_images_there_is_nothing_to_move():
    with pytest.raises(TreadleError, match="no block of features gives the pixels"):
        ShiftFlip(numeric_columns=["a"], id_columns=[], images=[], shift=0.1, flip=0.0, mix=None)
