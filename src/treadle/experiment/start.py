"""Where training starts from: a bundle, named by its place and identified by its content."""

from __future__ import annotations

from pathlib import Path

from treadle.experiment.fingerprint import hash_content
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.stages import START_MARK

_CARD = "bundle.json"  # of a bundle; it lists every other file with its digest


def split_start(text: str) -> tuple[str, str]:
    """The place, and the digest that a resolved.yaml adds to it; empty where it is not settled."""
    place, _, digest = text.rpartition(START_MARK)
    return (place, digest) if place else (text, "")


def find_start(text: str, *, root: Path) -> Path | None:
    """The folder of the bundle at a place, a run's or its own, relative to the project; None where there is none."""
    path = root / split_start(text)[0]
    return next((folder for folder in (RunFolder(path).bundle, path) if (folder / _CARD).is_file()), None)


def digest_start(bundle: Path) -> str:
    """What identifies a bundle."""
    return hash_content(bundle / _CARD)
