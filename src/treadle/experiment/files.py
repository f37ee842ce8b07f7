"""The data files that a path or glob of a configuration matches."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


def list_files(path: str, *, root: Path) -> list[Path]:
    """One file, or all that a glob matches, relative to the project; in the order of their names."""
    if Path(path).is_absolute():
        root, path = Path(Path(path).anchor), str(Path(path).relative_to(Path(path).anchor))
    try:
        return sorted(file for file in root.glob(path) if file.is_file())
    except ValueError:  # no pattern, such as an empty text
        return []


def list_below(path: str, *, root: Path) -> list[Path]:
    """The same, and of a folder all files at any depth, but for hidden ones, such as .gitkeep and .gitignore."""
    folder = root / path
    if not folder.is_dir():
        return list_files(path, root=root)
    files = list_files(f"{path}/**/*", root=root)
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def match_files(ours: Iterable[Path], theirs: Iterable[Path]) -> dict[Path, Path]:
    """For each of our files the one of theirs with the same content: itself, a link to it, or a copy."""
    by_identity, by_size = {}, defaultdict(list)
    for file in theirs:
        stat = file.stat()
        by_identity[stat.st_dev, stat.st_ino] = file
        by_size[stat.st_size].append(file)
    matches = {}
    for file in ours:
        stat = file.stat()
        same = by_identity.get((stat.st_dev, stat.st_ino))
        copies = (other for other in by_size[stat.st_size] if filecmp.cmp(file, other, shallow=False))
        match = same or next(copies, None)
        if match is not None:
            matches[file] = match
    return matches
