"""Compressed files, `rows.csv.gz` or `rows.csv.zst`: read as a stream, never unpacked to disk."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from backports import zstd  # Python's own from 3.14 on

from treadle.errors import TreadleError

EXPANSION = 10  # bytes of a text for each byte of its compressed file, seldom more

_READERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": lambda stream: cast("BinaryIO", gzip.GzipFile(fileobj=stream)),
    ".zst": lambda stream: cast("BinaryIO", zstd.ZstdFile(stream)),
}
COMPRESSIONS = tuple(_READERS)


def is_compressed(file: Path) -> bool:
    """Whether its name says so."""
    return file.suffix.lower() in _READERS


def estimate_size(file: Path) -> int:
    """About how many bytes the content has, seldom more."""
    return file.stat().st_size * (EXPANSION if is_compressed(file) else 1)


def kind_of(file: Path | str) -> str:
    """The suffix that says what the file holds, in small letters: `.csv` of `rows.csv.gz`."""
    path = Path(file)
    return (Path(path.stem) if is_compressed(path) else path).suffix.lower()


def full_suffix(file: Path) -> str:
    """The suffix with that of the compression, in small letters: `.csv.gz`."""
    return kind_of(file) + (file.suffix.lower() if is_compressed(file) else "")


@contextmanager
def open_bytes(file: Path) -> Iterator[BinaryIO]:
    """The content of a file, as it is before compression.

    Raises:
        TreadleError: while it is read, where it is damaged or cut.
    """
    with file.open("rb") as raw, _decompress(file, raw) as stream:
        yield stream


def read_start(file: Path, size: int) -> tuple[bytes, int]:
    """The first bytes of the content, and about how many bytes of the file hold them; errors as in `open_bytes`."""
    with file.open("rb") as raw:
        counted = _Counted(raw)
        with _decompress(file, cast("BinaryIO", counted)) as stream:
            return stream.read(size), counted.num_bytes


@contextmanager
def _decompress(file: Path, raw: BinaryIO) -> Iterator[BinaryIO]:
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        yield raw
        return
    try:
        with reader(raw) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
        raise TreadleError(f"{file.name} is not whole, or not compressed as its name says: {error}") from error


class _Counted(io.RawIOBase):
    """A stream that counts what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.num_bytes = stream, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self.num_bytes += len(content)
        return content
