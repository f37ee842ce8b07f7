"""Find the run whose card is asked for."""

from __future__ import annotations

from pathlib import Path

from treadle.champions.bundles import find_bundle, is_reference
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder


def find_run(reference: str, *, root: Path) -> RunFolder:
    """The folder of a run, or of the champion's.

    Raises:
        TreadleError: there is no such run, or only the bundle of the champion is here.
    """
    folder = RunFolder(find_bundle(reference, root=root) if is_reference(reference) else Path(reference))
    if not folder.metrics.is_file():
        fix = "`treadle run` makes one" if not folder.path.exists() else "evaluate it with `treadle run`"
        raise TreadleError(f"{folder.path} is no evaluated run; {fix}")
    return folder


def read_model_card(folder: RunFolder) -> str:
    """The card that the evaluation wrote.

    Raises:
        TreadleError: the run was evaluated by an earlier version.
    """
    if not folder.card.is_file():
        raise TreadleError(f"no {folder.card}: evaluate the run with this version of Treadle: `treadle run`")
    return read_text(folder.card)
