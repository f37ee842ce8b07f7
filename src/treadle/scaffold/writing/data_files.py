"""The data of a new project: copies of the files as they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from treadle.scaffold.reading.source import TableFiles


def place_files(source: TableFiles, folder: Path) -> str:
    """Copy the files as they are into the project; the path by which it reads them."""
    folder.mkdir(parents=True)
    names = {file: _name_copy(file) for file in source.files}
    if len(set(names.values())) < len(names):
        names = {file: f"{index:04d}-{name}" for index, (file, name) in enumerate(names.items())}
    for file, name in names.items():
        if file.is_relative_to(folder.parents[1]):  # exported into the project
            file.rename(folder / name)
            file.parent.rmdir()
        else:
            shutil.copyfile(file, folder / name)
    base = f"data/{folder.name}"
    (first, *others) = names.values()
    return f"{base}/*{Path(first).suffix}" if others else f"{base}/{first}"


def _name_copy(file: Path) -> str:
    """The file's own name, without characters that have a meaning in a path of the configuration."""
    suffix = ".csv" if file.suffix.lower() == ".txt" else file.suffix.lower()
    return re.sub(r"[^\w. ()+-]|^\W", "_", file.stem) + suffix
