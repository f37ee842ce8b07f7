"""The state of a file: it changes whenever the file is written to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class FileState(NamedTuple):
    """The state of a file; `status_ns`, which no program can set, also changes when the file is moved."""

    size: int
    changed_ns: int
    status_ns: int
    inode: int


def read_state(file: Path) -> FileState | None:
    """The state of a file; None where it is gone."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return FileState(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
