"""Made images, as the bytes of files."""

import io

import numpy as np
from PIL import Image


def write_image(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def make_png(*, height=4, width=6, channels=1, seed=0):
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return write_image(Image.fromarray(pixels))


def read_png(content):
    return np.asarray(Image.open(io.BytesIO(content)))
