"""Files on disk: written whole or not at all, and read as UTF-8."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EISDIR
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError

_PARTIAL = ".treadle-{}.tmp"  # a file that is being written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that replaces `path` when it is written: after a crash there is the old one or the new one.

    A device or a pipe is written to directly. A link stays a link, except one to a write-protected file: DVC links
    into its cache in that way, whose files must not change.

    Raises:
        OSError: it cannot be written; its `filename` is `path`.
    """
    with _naming(path):
        shared = path.is_symlink() and _is_write_protected(path)
        target = Path(os.path.realpath(path.parent), path.name) if shared else Path(os.path.realpath(path))
        if not shared and not _is_plain(target):
            yield path
            return
        partial = target.with_name(_PARTIAL.format(os.urandom(4).hex()))
        try:
            partial.touch(exist_ok=False)
            yield partial
            _flush(partial)
            if target.exists() and not shared:
                shutil.copymode(target, partial)
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any) -> None:
    """Write plain values, whole or not at all."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def read_text(path: Path) -> str:
    """The text of a file of the user's.

    Raises:
        OSError: it cannot be read.
        TreadleError: it is not in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise TreadleError(f"{path}:{line}: not UTF-8: the byte 0x{byte:02x}; save the file in UTF-8") from error


def read_record(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file of our own; empty where there is no file, None where it is damaged."""
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def delete_partials(folder: Path) -> None:
    """Delete what a killed process left half written in a folder that no other process writes to."""
    for partial in folder.glob(_PARTIAL.format("*")):
        partial.unlink(missing_ok=True)


def find_errno(error: BaseException) -> int | None:
    """The errno of the system's error, also where a library gives it in its message alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match.group(1)) if match else None


def _is_plain(path: Path) -> bool:
    """Whether the path is, or is to be, a plain file.

    Raises:
        IsADirectoryError: it is a folder.
        PermissionError: it may not be written.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    if stat.S_ISREG(mode) and not os.access(path, os.W_OK):
        raise PermissionError(EACCES, os.strerror(EACCES), str(path))
    return stat.S_ISREG(mode)


def _is_write_protected(path: Path) -> bool:
    """By its mode, which counts for root as well; a broken link is not protected."""
    return path.is_file() and not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error that names no file, or the temporary one, names `path` instead."""
    try:
        yield
    except Exception as error:
        number = find_errno(error)
        named = getattr(error, "filename", None)
        if number is None or (
            named is not None and Path(os.fsdecode(named)).parent != Path(os.path.realpath(path)).parent
        ):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _flush(path: Path) -> None:
    """Write the content to the disk before the file is renamed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
