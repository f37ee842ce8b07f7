"""Images: from the bytes of a file to pixels. The only door to Pillow, which the extra `images` installs.

What a file must be: PNG, JPEG, WebP, GIF or BMP, whole, of one frame, of at most `MAX_PIXELS`. Pixels have 8 bits; of
16-bit gray the upper ones count. A palette is looked up, what is transparent lies on white, and a photo is turned as
its EXIF data say, where they can be read.
"""

from __future__ import annotations

import binascii
import io
import os
import re
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.errors import TreadleError
from treadle.threads import map_ahead

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]

FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "GIF",
    "BMP",
)  # not those whose decoders one would not trust with any file
MAX_PIXELS = 1 << 26  # of an image: a small file may claim to be a large one
RULE = "must be an image: PNG, JPEG, WebP, GIF or BMP, whole, of one frame, of at most 67 million pixels"
GRAY, COLOUR = 1, 3  # channels
FEW_ROWS = 256  # that are in memory at a time where they hold images: of photos a gigabyte

_PART = 64  # images that a thread decodes at a time
_GRAY_MODES = ("1", "L", "LA", "I;16")
_ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")
_OF_CAMERAS = ("JPEG", "MPO", "WEBP")  # formats whose EXIF data say how the camera was held
_SIDEWAYS = range(5, 9)  # values of EXIF's orientation that swap height and width
_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}  # what makes the image upright, by the value of EXIF's orientation
_DATA_URL = re.compile(r"data:image/[a-z+.-]+;base64,")
_DAMAGED = ("ignore", re.compile("Corrupt EXIF data", re.IGNORECASE), UserWarning, None, 0)  # see `_read_orientation`
_FINER = 2  # times the pixels that are wanted, from which they are made without a visible difference
_NOISE_SIZE = 8  # pixels, where none is asked for
_SHOWN = 60  # characters of what is no image


class ImageError(TreadleError):
    """Why bytes are no image that can be read."""


class Size(NamedTuple):
    """What an image measures as it is seen."""

    height: int
    width: int
    channels: int  # 1: gray; 3: colours


def measure(content: bytes) -> Size:
    """The size of an image; its pixels are not decoded.

    Raises:
        ImageError: it is none.
    """
    image = _open(content)
    width, height = image.size
    if _read_orientation(image) in _SIDEWAYS:
        width, height = height, width
    return Size(height, width, GRAY if image.mode in _GRAY_MODES else COLOUR)


def decode(content: bytes, *, height: int, width: int, channels: int) -> Pixels:
    """Pixels `[height, width, channels]` of an image, which is resized where it has another size.

    Of a JPEG that is far larger, only a half, a quarter or an eighth of the height and the width is computed.
    Colours become gray by their luminance (ITU-R 601-2), gray becomes colours that are all the same.

    Raises:
        ImageError: it is none.
    """
    image = _open(content)
    orientation = _read_orientation(image)
    size = (height, width) if orientation in _SIDEWAYS else (width, height)
    flat, box = _load(image, least=(_FINER * size[0], _FINER * size[1]))
    flat = flat.convert("L" if channels == GRAY else "RGB")
    if flat.size != size:
        from PIL.Image import Resampling

        flat = flat.resize(size, Resampling.BILINEAR, box=box)
    return np.asarray(_turn(flat, orientation), dtype=np.uint8).reshape(height, width, channels)


def decode_all(contents: Sequence[bytes | None], *, height: int, width: int, channels: int) -> Pixels:
    """Pixels `[B, height * width * channels]` of many; a missing image is all zeros, which is black.

    An image that is there several times, as that of a product in its sales, is decoded once.

    Raises:
        ImageError: one is none; the message has its position.
    """
    pixels = np.zeros((len(contents), height, width, channels), dtype=np.uint8)
    first: dict[bytes, int] = {}  # the place of each image
    for place, content in enumerate(contents):
        if content is not None:
            first.setdefault(content, place)
    distinct = list(first.items())

    def decode_part(start: int) -> None:
        for content, place in distinct[start : start + _PART]:
            try:
                pixels[place] = decode(content, height=height, width=width, channels=channels)
            except ImageError as error:
                raise ImageError(f"row {place + 1:,}: {error}") from error

    for _ in map_ahead(decode_part, range(0, len(distinct), _PART)):
        pass
    for place, content in enumerate(contents):
        if content is not None and first[content] != place:
            pixels[place] = pixels[first[content]]
    return pixels.reshape(len(contents), height * width * channels)


def count_part_rows(types: Iterable[pl.DataType], *, most: int) -> int:
    """How many rows of such columns to have in memory at a time: so many at most, and few where one holds images."""
    return min(most, FEW_ROWS) if pl.Binary() in types else most


def make_noise(draw: Callable[[int], bytes], *, height: int | None, width: int | None, channels: int | None) -> bytes:
    """An image of random bytes, as a PNG: for comparisons.

    Args:
        draw: gives so many bytes.
        height: None: any.
        width: None: any.
        channels: None: any.
    """
    shape = (height or _NOISE_SIZE, width or _NOISE_SIZE, channels or GRAY)
    pixels = np.frombuffer(draw(int(np.prod(shape))), dtype=np.uint8).reshape(shape)
    stream = io.BytesIO()
    _import_pillow().fromarray(pixels[:, :, 0] if shape[2] == GRAY else pixels).save(stream, "PNG")
    return stream.getvalue()


def keep_images(values: pl.Series) -> pl.Series:
    """Bytes that are an image, decoded to the end to be sure; null in place of others."""
    contents = values.to_list()
    kept = (_keep_part(contents[start : start + _PART]) for start in range(0, len(contents), _PART))
    return pl.Series(values.name, [content for part in kept for content in part], dtype=pl.Binary())


def _keep_part(contents: Sequence[bytes | None]) -> list[bytes | None]:
    return [content if content is not None and not find_fault(content) else None for content in contents]


def find_fault(content: bytes) -> str:
    """Why bytes are no image; empty where they are one."""
    try:
        _load(_open(content), least=(1, 1))
    except ImageError as error:
        return str(error)
    return ""


def describe(content: bytes) -> str:
    """Bytes in a few words, for messages: what they measure, or why they are no image."""
    try:
        size = measure(content)
    except ImageError as error:
        return str(error)
    fault = find_fault(content)
    return fault or f"{size.height} x {size.width} pixels, {'gray' if size.channels == GRAY else 'colours'}"


def read_base64(text: str) -> bytes | None:
    """The bytes of a text in base64, with or without `data:image/png;base64,` before it; None where it is none."""
    begin = _DATA_URL.match(text)
    try:
        return b64decode(text[begin.end() :] if begin is not None else text, validate=True)
    except (binascii.Error, ValueError):
        return None


def read_files(paths: pl.Series, *, folder: Path) -> pl.Series:
    """What is in the files of a folder; of one that is no image, its path and why, as bytes that are none either."""
    return pl.Series(
        paths.name,
        [None if path is None or not path.strip() else _read_file(path.strip(), folder) for path in paths.to_list()],
        dtype=pl.Binary(),
    )


def _read_file(path: str, folder: Path) -> bytes:
    inside = os.path.normpath(path)
    if Path(inside).is_absolute() or inside.startswith(".."):
        return f"{path}: outside of {folder}".encode()
    try:
        content = (folder / inside).read_bytes()
    except OSError as error:
        return f"{folder / inside}: {error.strerror}".encode()
    fault = find_fault(content)
    return f"{folder / inside}: {fault}".encode() if fault else content


def _load(image: Image, *, least: tuple[int, int]) -> tuple[Image, tuple[float, float, float, float]]:
    """The image as it lies, in one of the modes L and RGB, read to its end, and which part of that it covers.

    Args:
        image: of which the header has been read.
        least: width and height; a JPEG that has more may come smaller, but not below them.
    """
    name = _describe_size(image)
    try:
        drafted = image.draft(image.mode, least)  # of other formats it does nothing
        image.load()
        return _flatten(image), (0, 0, *image.size) if drafted is None else drafted[1]
    except ImageError:
        raise
    except Exception as error:  # a decoder may raise anything of a broken file
        raise ImageError(f"{name}: {error}") from error


def _open(content: bytes) -> Image:
    """The image, of which the header has been read."""
    library = _import_pillow()
    if _DAMAGED not in warnings.filters:  # to add it for each image would make Python forget what it has warned of
        warnings.filterwarnings("ignore", _DAMAGED[1].pattern, UserWarning)
    try:
        image: Image = library.open(io.BytesIO(content), formats=FORMATS)
        num_frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # of a phone: a photo and previews
    except library.UnidentifiedImageError as error:
        raise ImageError(_describe_bytes(content)) from error
    except Exception as error:  # as in `_load`
        raise ImageError(f"{_describe_bytes(content)}: {error}") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{height:,} x {width:,} pixels, more than {MAX_PIXELS:,}")
    if num_frames > 1:
        raise ImageError(f"{num_frames} frames; an animation is no image")
    return image


def _turn(image: Image, orientation: int | None) -> Image:
    if orientation not in _TURNS:
        return image
    from PIL.Image import Transpose

    return image.transpose(Transpose[_TURNS[orientation]])


def _read_orientation(image: Image) -> int | None:
    """How the camera was held; None where the file does not say, or is damaged there, which harms no pixel."""
    if image.format not in _OF_CAMERAS:
        return None
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - a decoder may raise anything of a broken file
        return None


def _flatten(image: Image) -> Image:
    """8 bits, no palette, nothing transparent."""
    library = _import_pillow()
    if image.mode == "I;16":
        upper = (np.asarray(image) >> 8).astype(np.uint8)
        image = library.fromarray(upper)
    if image.mode in {"I", "F"}:
        raise ImageError(f"pixels of 32 bits (mode {image.mode}), which have no known range")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        over = image.convert("RGBA")
        white = library.new("RGBA", over.size, "white")
        flat: Image = library.alpha_composite(white, over)
        return flat.convert("L" if image.mode in _GRAY_MODES else "RGB")
    return image.convert("L" if image.mode in _GRAY_MODES else "RGB")


def _describe_size(image: Image) -> str:
    return f"{image.format} of {image.height:,} x {image.width:,} pixels"


def _describe_bytes(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return text if len(text) <= _SHOWN or ": " in text else f"{text[:_SHOWN]}…"
    return f"{len(content):,} bytes that are no image"


def _import_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise TreadleError("a column of images needs the library Pillow: install treadle[images]") from error
    return Image
