"""The data of a new project: copies of the files as they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from treadle.data.compression import full_suffix
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
        else:
            shutil.copyfile(file, folder / name)
    base = f"data/{folder.name}"
    (first, *others) = names.values()
    return f"{base}/*{full_suffix(Path(first))}" if others else f"{base}/{first}"


def _name_copy(file: Path) -> str:
    """The file's own name, without characters that have a meaning in a path of the configuration."""
    suffix = full_suffix(file)
    stem = file.name[: len(file.name) - len(suffix)]
    return re.sub(r"[^\w. ()+-]|^\W", "_", stem) + re.sub(r"^\.txt", ".csv", suffix)
