"""What a person sees while training runs: a bar in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import RichProgressBar

from treadle.training.learner import Learner


def make_progress() -> lightning.Callback:
    """The fitting one for where the output goes."""
    return RichProgressBar(refresh_rate=20) if sys.stdout.isatty() else EpochLines()


class EpochLines(lightning.Callback):
    """One plain line an epoch."""

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print the losses and the monitored value."""
        assert isinstance(pl_module, Learner)
        monitor = pl_module.experiment.schedule.monitor
        values = {"loss": pl_module.epoch_metrics["loss"], monitor: pl_module.epoch_metrics[monitor]}
        shown = "  ".join(f"valid {name} {value:.5f}" for name, value in values.items())
        if trainer.is_global_zero:
            sys.stdout.write(f"epoch {trainer.current_epoch + 1:3d}  step {trainer.global_step:6d}  {shown}\n")
            sys.stdout.flush()
