"""Find the run whose card is asked for."""

from __future__ import annotations

from pathlib import Path

from treadle.champions.bundles import CARD, find_folder
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder


def find_run(reference: str, *, root: Path) -> RunFolder:
    """The folder of a run, or of the champion's.

    Raises:
        TreadleError: there is no such run, or only the bundle of the champion is here.
    """
    folder = RunFolder(find_folder(reference, root=root))
    if folder.metrics.is_file():
        return folder
    if not folder.path.exists():
        raise TreadleError(f"there is no folder {folder.path}; `treadle ls` lists the runs, `treadle run` makes one")
    if any((place / CARD).is_file() for place in (folder.path, folder.bundle)) and not folder.examples.is_dir():
        raise TreadleError(
            f"{folder.path} has a bundle alone, which does not say how it was evaluated; name the folder of its run, "
            "or make that run again (`treadle log` says which it is)"
        )
    raise TreadleError(f"{folder.path} is no evaluated run; evaluate it with `treadle run`")


def read_model_card(folder: RunFolder) -> str:
    """The card that the evaluation wrote.

    Raises:
        TreadleError: the run was evaluated by an earlier version.
    """
    if not folder.card.is_file():
        raise TreadleError(f"no {folder.card}: evaluate the run with this version of Treadle: `treadle run`")
    return read_text(folder.card)
