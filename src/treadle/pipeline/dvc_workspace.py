"""Where DVC runs an experiment: in the project, or in a copy that it deletes afterwards."""

from __future__ import annotations

from pathlib import Path

_COPIES = (".dvc", "tmp", "exps")  # below the project: `dvc exp run --queue` and `--temp`


def find_origin(root: Path) -> Path | None:
    """The project that a copy was made from; None where `root` is no copy of DVC's."""
    places = [root.resolve(), *root.resolve().parents]
    return next((place.parents[2] for place in places if place.parts[-3:] == _COPIES), None)
