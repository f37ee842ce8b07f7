"""Digests of a stage's outputs, by which damage is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from treadle.experiment.fingerprint import hash_content

SMALL = 16 << 20  # bytes; the content of a larger file is read again only where size or time of change differ

Digests = dict[str, list[Any]]  # path below the folder: size, time of change [ns], hash of the content


def take_digests(folder: Path, outputs: Sequence[str]) -> Digests:
    """The digests of all files of a stage's outputs."""
    return {name: [*_read_state(file), hash_content(file)] for name, file in _list_files(folder, outputs)}


def find_damage(folder: Path, outputs: Sequence[str], digests: object, *, max_hashed: float = SMALL) -> str | None:
    """Describe the first file that is not as it was written; None: every one is.

    Args:
        folder: with the outputs.
        outputs: their names.
        digests: as `take_digests` returned them; anything else is a damaged record.
        max_hashed: up to which size the content is read even if size and time of change are the same [bytes].
    """
    if not _are_digests(digests):
        return "its digests are not readable"
    found = dict(_list_files(folder, outputs))
    for name, (size, changed_at, content) in digests.items():
        file = found.pop(name, None)
        if file is None:
            return f"{name} is missing"
        same = _read_state(file) == [size, changed_at]
        if (not same or size <= max_hashed) and hash_content(file) != content:
            return f"{name} does not hold what was written"
    return next((f"{name} was added" for name in found), None)


def _are_digests(digests: object) -> TypeGuard[Digests]:
    """Whether the record, which may be damaged itself, holds digests."""
    return isinstance(digests, dict) and all(
        isinstance(entry, list) and list(map(type, entry)) == [int, int, str] for entry in digests.values()
    )


def _list_files(folder: Path, outputs: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Each file of the outputs with its path below the folder; hidden ones belong to the system, not to a stage."""
    for output in outputs:
        path = folder / output
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file() and not file.name.startswith("."):
                yield file.relative_to(folder).as_posix(), file


def _read_state(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]
