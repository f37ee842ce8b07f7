"""Models that others trained, as files of the project: named by their place, identified by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from treadle.experiment.fingerprint import LENGTH, hash_content


def digest_model(place: Path) -> str:
    """What identifies a model that is a file, or a folder of files."""
    return digest_folder(place) if place.is_dir() else hash_content(place)


def digest_folder(folder: Path) -> str:
    """What identifies the files of a folder: their names in it and what they hold, hidden ones aside."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    lines = [f"{path.as_posix()} {hash_content(folder / path)}" for path in shown]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:LENGTH]
