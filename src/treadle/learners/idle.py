"""Stages that have nothing to do for a learner of the user's own: they write that, and which data there are.

(DVC calls every stage of its file. `train` depends on what `prepare` writes, and so on the data.)
"""

from __future__ import annotations

from treadle.disk import write_json
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.stages import Stage

FILE = "nothing.json"
_REASON = "An experiment of a learner has no {}: its LightningDataModule gives the data, and no baseline is fitted."


def write_nothing(stage: Stage, *, folder: RunFolder, data: str) -> None:
    """Write the outputs of a stage that has none.

    Args:
        stage: which.
        folder: of the run.
        data: fingerprint of the data.
    """
    for output in stage.outputs:
        (folder.path / output).mkdir(parents=True, exist_ok=True)
        told = {"stage": stage.name, "reason": _REASON.format(output)}
        write_json(folder.path / output / FILE, told if stage.reads else {**told, "data": data})
