"""The files that a path of the configuration stands for."""

from __future__ import annotations

from pathlib import Path


def list_files(path: str, *, root: Path) -> list[Path]:
    """One file, or all that a glob matches, relative to the project; in the order of their names."""
    if Path(path).is_absolute():
        root, path = Path(Path(path).anchor), str(Path(path).relative_to(Path(path).anchor))
    return sorted(file for file in root.glob(path) if file.is_file())
