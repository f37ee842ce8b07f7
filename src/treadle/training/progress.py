"""What a person sees while training runs: a bar in a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, cast

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import RichProgressBar

from treadle.training.learner import Learner
from treadle.training.loader import ChunkLoader


def make_progress() -> lightning.Callback:
    """The fitting one for where the output goes."""
    return StepBar(refresh_rate=20) if sys.stdout.isatty() else EpochLines()


class StepBar(RichProgressBar):
    """Counts the steps of training, not Lightning's own, each of which is a chunk of them."""

    shown_at = 0.0  # moment of the last move, by the monotonic clock [s]

    @property
    def total_train_batches(self) -> int:
        """Steps in this epoch."""
        return len(cast("ChunkLoader", self.trainer.train_dataloader).batches)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Listen to the steps."""
        super().on_train_start(trainer, pl_module)
        cast("Learner", pl_module).tell_step = self.show_step

    def show_step(self, step: int) -> None:
        """Move on, twenty times a second at most."""
        now = time.monotonic()
        if now - self.shown_at > 1 / self.refresh_rate:
            self.shown_at = now
            self._update(self.train_progress_bar_id, step)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002 - of the chunk
    ) -> None:
        """Show the steps and the loss of the chunk that ends."""
        assert isinstance(pl_module, Learner)
        last = len(pl_module.train_losses) - 1
        super().on_train_batch_end(trainer, pl_module, outputs, batch, last)


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
