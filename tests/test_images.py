"""What counts as an image, and what its pixels are."""

import struct
import zlib
from base64 import b64encode
from io import BytesIO

import numpy as np
import polars as pl
import pytest

pytest.importorskip("PIL")

from PIL import Image

from pictures import make_png, read_png, write_image
from treadle.images import (
    MAX_PIXELS,
    ImageError,
    decode,
    decode_all,
    describe,
    find_fault,
    measure,
    read_base64,
    read_files,
)

SIZE = {"height": 4, "width": 6, "channels": 1}


def claim_size(content, width, height):
    """A PNG whose header says another size."""
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def make_gray(value, mode="L"):
    return Image.new(mode, (6, 4), value)


def turn(image):
    """A photo that is stored on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return write_image(image, "JPEG", exif=exif)


def test_gray_pixels_are_those_of_the_file():
    content = make_png()

    assert np.array_equal(decode(content, **SIZE)[:, :, 0], read_png(content))
    assert measure(content) == (4, 6, 1)
    assert describe(content) == "4 x 6 pixels, gray"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (write_image(Image.fromarray(np.full((4, 6), 0x80FF, dtype=np.uint16))), 0x80),
        (write_image(make_gray((255, 0, 0), "RGB")), 76),
        (write_image(make_gray((0, 0, 0, 0), "RGBA")), 255),
        (write_image(make_gray((0, 0, 0, 255), "RGBA")), 0),
        (write_image(make_gray((0, 255, 0), "RGB").quantize(4)), 150),
        (write_image(make_gray(1, "1")), 255),
        (write_image(make_gray(90), "GIF"), 90),
        (write_image(make_gray(90), "BMP"), 90),
        (write_image(make_gray((90, 90, 90), "RGB"), "WEBP", lossless=True), 90),
    ],
    ids=["16 bits", "colours", "transparent", "opaque", "palette", "black and white", "GIF", "BMP", "WebP"],
)
def test_every_kind_becomes_8_bits(content, value):
    assert (decode(content, **SIZE) == value).all()


def test_gray_becomes_colours_and_another_size():
    pixels = decode(make_png(), height=2, width=3, channels=3)

    assert pixels.shape == (2, 3, 3)
    assert (pixels == pixels[:, :, :1]).all()


def test_a_photo_is_turned_as_its_camera_was_held():
    picture = make_gray(0)
    picture.paste(255, (0, 0, 3, 4))  # the left half is white; turned to the right it is above
    content = turn(picture)

    assert measure(content) == (6, 4, 1)
    pixels = decode(content, height=6, width=4, channels=1)
    assert pixels[0].min() > 200
    assert pixels[-1].max() < 50


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    "exif", [b"neither II nor MM", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03"]
)
def test_a_photo_whose_exif_data_are_broken_is_read_as_it_lies(kind, exif):
    content = write_image(make_gray((90, 90, 90), "RGB"), kind, exif=b"Exif\0\0" + exif)

    assert find_fault(content) == ""
    assert measure(content) == (4, 6, 3)
    assert abs(decode(content, **SIZE).astype(int) - 90).max() <= 1


def test_a_large_photo_is_made_small_as_it_would_be_from_all_its_pixels():
    picture = Image.fromarray(read_png(make_png(height=30, width=40))).resize((1200, 900), Image.Resampling.BICUBIC)
    lying, turned = write_image(picture, "JPEG"), turn(picture)

    pixels = decode(lying, height=30, width=40, channels=1)[:, :, 0].astype(int)

    expected = read_png(write_image(Image.open(BytesIO(lying)).resize((40, 30), Image.Resampling.BILINEAR)))
    assert abs(pixels - expected).max() <= 4
    upright = decode(turned, height=40, width=30, channels=1)[:, :, 0].astype(int)
    assert abs(upright - np.rot90(pixels, -1)).max() <= 4
    assert describe(lying[:-99]).startswith("JPEG of 900 x 1,200 pixels: image file is truncated")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"no image", "no image"),
        (bytes(range(256)), "256 bytes that are no image"),
        (b"", "0 bytes that are no image"),
        (make_png(height=50, width=50)[:-900], "truncated"),
        (make_png()[:60], "PNG of 4 x 6 pixels: "),
        (write_image(make_gray(0), "GIF", save_all=True, append_images=[make_gray(255)]), "2 frames"),
        (write_image(make_gray(0), "TIFF"), "bytes that are no image"),
        (claim_size(make_png(), 20_000, 4_000), f"more than {MAX_PIXELS:,}"),
    ],
    ids=["text", "noise", "empty", "cut", "cut short", "animation", "TIFF", "bomb"],
)
def test_what_is_no_whole_image_says_why(content, fault):
    assert fault in find_fault(content)
    assert fault in describe(content)
    with pytest.raises(ImageError):
        decode(content, **SIZE)


def test_missing_images_are_black_and_a_broken_one_is_named_by_its_row():
    contents = [make_png(seed=place) for place in range(130)]

    pixels = decode_all([*contents, None], **SIZE)

    assert pixels.shape == (131, 24)
    assert not pixels[-1].any()
    assert np.array_equal(pixels[129].reshape(4, 6), read_png(contents[129]))
    with pytest.raises(ImageError, match="row 131: "):
        decode_all([*contents, b"?"], **SIZE)


def test_an_image_that_is_there_many_times_is_decoded_once(monkeypatch):
    decoded = []
    count = lambda content, **size: decoded.append(content) or decode(content, **size)  # noqa: E731 - one call
    monkeypatch.setattr("treadle.images.decode", count)
    one, other = make_png(seed=1), make_png(seed=2)

    pixels = decode_all([one, None, other, *[bytes(bytearray(one))] * 200], **SIZE)

    assert sorted(decoded) == sorted([one, other])
    assert (pixels[3:] == pixels[0]).all()
    assert not np.array_equal(pixels[0], pixels[2])


def test_base64_may_be_a_data_url():
    content = make_png()
    text = b64encode(content).decode()

    assert read_base64(text) == read_base64(f"data:image/png;base64,{text}") == content
    assert read_base64("pictures/cat.png") is None


def test_a_file_that_is_no_image_is_named_and_none_is_read_outside_of_its_folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(make_png())
    (folder / "cut.png").write_bytes(make_png(height=50, width=50)[:-900])
    (tmp_path / "secret.png").write_bytes(make_png())
    names = ["a.png", "cut.png", "b.png", "../secret.png", str(tmp_path / "secret.png"), None, " "]

    found = read_files(pl.Series(names), folder=folder).to_list()

    assert found[0] == make_png()
    assert found[5:] == [None, None]
    said = [content.decode() for content in found[1:5]]
    assert said[0].startswith(f"{folder}/cut.png: ")
    assert said[1] == f"{folder}/b.png: No such file or directory"
    assert all("outside of" in text for text in said[2:])
    assert describe(found[2]) == said[1]
