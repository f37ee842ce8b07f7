"""The metrics of each epoch of Lightning's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch

from treadle.training.epochs import EpochFile, EpochLog, select_values
from treadle.training.learner import Learner


class MetricsLog(lightning.Callback):
    """Write each epoch's row as soon as it is known. The rows travel in the checkpoint, so that resuming drops none."""

    def __init__(self, path: Path, *, log: EpochLog) -> None:
        self.file = EpochFile(path, listen=log)
        self.rows: list[dict[str, float]] = []

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Begin the file with the epochs of a checkpoint."""
        if trainer.is_global_zero:
            self.file.clear()
            for index in range(len(self.rows)):
                self.file.append(self.rows[index])

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Add the row of the epoch that ends."""
        assert isinstance(pl_module, Learner)
        train_loss = float(torch.stack(pl_module.train_losses).mean())
        row = {
            "epoch": float(trainer.current_epoch + 1),
            "step": float(trainer.global_step),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train/loss": train_loss,
            **{f"valid/{name}": value for name, value in pl_module.epoch_metrics.items()},
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            self.file.add(row)
            for logger in trainer.loggers:
                logger.log_metrics(select_values(row), step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of the checkpoint."""
        self.rows = list(state_dict["rows"])

    def __getstate__(self) -> dict[str, Any]:
        # A listener (an open W&B run) does not follow into spawned processes; the file does.
        return {**self.__dict__, "file": EpochFile(self.file.path, listen=_ignore)}


def _ignore(values: Mapping[str, float], step: int) -> None:
    pass
