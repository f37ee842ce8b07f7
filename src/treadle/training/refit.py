"""Refitting: once the best epoch is known, a new network is trained on the training and the validation split together.

It takes as many epochs as the best one, at the learning rates of these epochs: each row is seen as often as before, by
steps that are more in the measure of the rows (Goodfellow, Bengio, Courville, "Deep Learning", section 7.8, weighs this
against equally many steps). Nothing validates it: the metrics of the run are those of the first training, which chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.experiment.spec import Experiment
from treadle.training.additions import build_arguments
from treadle.training.augmentation import Augment
from treadle.training.epochs import write_line
from treadle.training.fit import count_steps, fit
from treadle.training.optimizer_state import NO_STATE, State, flatten_state
from treadle.training.resume import LAST, read_weights
from treadle.training.rows import Rows, join
from treadle.training.scaling import Scaling

FOLDER = "refit"  # of the checkpoints: the state of the second training


@dataclass(frozen=True)
class Refitted:
    """The second training."""

    weights: Mapping[str, Tensor]  # of the network
    optimizer: Mapping[str, Tensor]  # its state, as `flatten_state` gives it
    num_rows: int
    num_epochs: int
    global_step: int  # optimizer steps that were taken

    def describe(self) -> dict[str, int]:
        """Plain values, for `model/summary.json`."""
        return {"num_rows": self.num_rows, "num_epochs": self.num_epochs, "num_steps": self.global_step}


def refit(
    network: nn.Module,
    rows: Mapping[str, Rows],
    experiment: Experiment,
    *,
    num_epochs: int,
    scaling: Scaling,
    checkpoints: Path,
    augment: Augment | None,
    state: State = NO_STATE,
) -> Refitted:
    """Train a new network on all rows but those of the test split, from the state in `checkpoints` where there is one.

    Args:
        network: as it was before the first step of the first training; what it learned of its inputs' distribution
            stays that of the training split, as the transforms do, so that both trainings see the same inputs.
        rows: of the splits `train` and `valid`, in memory.
        experiment: checked.
        num_epochs: of the first training until its best.
        scaling: of the rows.
        checkpoints: of the first training.
        augment: as in the first training.
        state: as in the first training.

    Raises:
        TreadleError: the new weights are not finite.
    """
    together = {**rows, "train": join(rows)}
    write_line(
        f"{'refit':<10} on train and valid, {together['train'].num_rows:,} rows, for the {num_epochs} "
        f"{'epoch' if num_epochs == 1 else 'epochs'} until the best"
    )
    before, after = (count_steps(network, some, experiment) for some in (rows, together))
    folder = checkpoints / FOLDER
    fit(
        network,
        together,
        _stretch(experiment, before=before, after=after),
        scaling=scaling,
        checkpoints=folder,
        callbacks=[],
        additions=build_arguments(experiment),
        augment=augment,
        state=state,
        until_epoch=num_epochs,
    )
    saved = torch.load(folder / LAST, weights_only=True)
    weights = read_weights(saved)
    if not all(value.isfinite().all() for value in weights.values() if value.is_floating_point()):
        raise TreadleError(
            "schedule.refit: the weights of the second training are not finite, though those of the first are; lower "
            "schedule.optimizer.lr, or set it to none"
        )
    return Refitted(weights, flatten_state(saved), together["train"].num_rows, num_epochs, saved["global_step"])


def _stretch(experiment: Experiment, *, before: int, after: int) -> Experiment:
    """With a limit of steps in the measure of the steps of an epoch, so that it ends the same epoch."""
    schedule = experiment.schedule
    max_steps = None if schedule.max_steps is None else -(-schedule.max_steps * after // before)
    return experiment.model_copy(update={"schedule": schedule.model_copy(update={"max_steps": max_steps})})
