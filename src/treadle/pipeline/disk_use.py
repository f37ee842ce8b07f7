"""How much of the disk runs take. A file of several names, by hard links, is on the disk once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Inode = tuple[int, int]  # device and number


def measure_own(folders: Mapping[str, Path]) -> dict[str, int]:
    """What each run alone has on the disk [bytes]: files that no other of the runs has, too.

    That is what removing it frees, once its outputs in the cache are removed as well.

    Args:
        folders: of the runs, by name.
    """
    sizes: dict[Inode, int] = {}
    holders: dict[Inode, str | None] = {}  # None: several
    for name, folder in folders.items():
        for stat in _list_files(folder):
            inode = (stat.st_dev, stat.st_ino)
            sizes[inode] = stat.st_size
            holders[inode] = name if holders.setdefault(inode, name) == name else None
    own = dict.fromkeys(folders, 0)
    for inode, holder in holders.items():
        if holder is not None:
            own[holder] += sizes[inode]
    return own


def measure_all(folders: Iterable[Path]) -> int:
    """What folders have on the disk together [bytes]."""
    return sum(
        {(stat.st_dev, stat.st_ino): stat.st_size for folder in folders for stat in _list_files(folder)}.values()
    )


def measure_freed(folders: Iterable[Path]) -> int:
    """What removing folders frees [bytes]: files that have no further name outside of them."""
    names: Counter[Inode] = Counter()
    found: dict[Inode, os.stat_result] = {}
    for folder in folders:
        for stat in _list_files(folder):
            inode = (stat.st_dev, stat.st_ino)
            names[inode] += 1
            found[inode] = stat
    return sum(stat.st_size for inode, stat in found.items() if names[inode] >= stat.st_nlink)


def write_size(size: int) -> str:
    """A number of bytes in few characters.

    >>> [write_size(size) for size in (0, 999, 1_500, 2_340_000)]
    ['0 B', '999 B', '1.5 kB', '2.3 MB']
    """
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:  # noqa: PLR2004 - SI units
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _list_files(folder: Path) -> Iterator[os.stat_result]:
    """The state of each file below a folder; what vanishes meanwhile is left out."""
    try:
        with os.scandir(folder) as entries:
            inside = list(entries)
    except OSError:
        return
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            yield from _list_files(Path(entry.path))
        else:
            try:
                yield entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
