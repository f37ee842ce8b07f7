"""The data files that a path or glob of a configuration matches."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from treadle.errors import TreadleError
from treadle.remote import fetch, is_remote
from treadle.secrets import redact

REMOTE = "runs/.remote"  # of a project: copies of files at an address
_LAKES = ("_delta_log", "metadata/*.metadata.json")  # what a folder holds that is a table: of Delta, of Iceberg


def list_files(path: str, *, root: Path) -> list[Path]:
    """Every file of `list_sources`; of a folder that is a table all that it holds."""
    return [
        file for part in list_sources(path, root=root) for file in (_list_inside(part) if part.is_dir() else [part])
    ]


def list_sources(path: str, *, root: Path) -> list[Path]:
    """What is read as one table: a file, all that a glob matches, a folder of Delta or Iceberg; by name.

    Args:
        path: relative to the project, or an address, of whose files copies are fetched into the project.
        root: the project.

    Raises:
        TreadleError: the files of an address cannot be fetched.
    """
    if is_remote(path):
        return fetch(path, folder=root / REMOTE)
    return [part for part in _match(path, root=root) if part.is_file() or is_lake(part)]


def locate(path: str, *, root: Path) -> Path:
    """The path as it is, or a copy of the one file at an address, kept in the project.

    Raises:
        TreadleError: an address has no file or several, or they cannot be fetched.
    """
    if not is_remote(path):
        return Path(path)
    found = fetch(path, folder=root / REMOTE)
    if len(found) != 1:
        raise TreadleError(f"{'no file' if not found else f'{len(found):,} files'} at {redact(path)}; give one")
    return found[0]


def is_lake(folder: Path) -> bool:
    """Whether the folder is a table by itself."""
    return any(next(folder.glob(pattern), None) is not None for pattern in _LAKES)


def _list_inside(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))


def _match(path: str, *, root: Path) -> list[Path]:
    if Path(path).is_absolute():
        root, path = Path(Path(path).anchor), str(Path(path).relative_to(Path(path).anchor))
    try:
        return sorted(root.glob(path))
    except ValueError:  # no pattern, such as an empty text
        return []


def list_below(path: str, *, root: Path) -> list[Path]:
    """The same, and of a folder all files at any depth, but for hidden ones, such as .gitkeep and .gitignore."""
    folder = root / path
    if not folder.is_dir():
        return list_files(path, root=root)
    files = (file for file in _match(f"{path}/**/*", root=root) if file.is_file())
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def match_files(ours: Iterable[Path], theirs: Iterable[Path]) -> dict[Path, Path]:
    """For each of our files the one of theirs with the same content: itself, a link to it, or a copy; folders too."""
    by_identity, by_size = {}, defaultdict(list)
    for file in theirs:
        stat = file.stat()
        by_identity[stat.st_dev, stat.st_ino] = file
        if file.is_file():
            by_size[stat.st_size].append(file)
    matches = {}
    for file in ours:
        stat = file.stat()
        same = by_identity.get((stat.st_dev, stat.st_ino))
        alike = by_size[stat.st_size] if file.is_file() else ()
        copies = (other for other in alike if filecmp.cmp(file, other, shallow=False))
        match = same or next(copies, None)
        if match is not None:
            matches[file] = match
    return matches
