"""Progress of the training: a line an epoch, and in a terminal a bar below them."""

from __future__ import annotations

import sys
import time
from typing import cast

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from treadle.training.epochs import show_scores
from treadle.training.learner import Learner
from treadle.training.loader import ChunkLoader
from treadle.training.resumable import EndListener

REFRESH_S = 0.05  # between two updates of the bar


def make_progress() -> lightning.Callback:
    """A bar in a terminal, else lines alone."""
    return StepBar() if sys.stdout.isatty() else EpochLines()


class EpochLines(lightning.Callback):
    """A line an epoch, with the losses and the monitored value; the best so far is marked."""

    console: Console  # made in the process that trains: its lock does not follow into spawned ones

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Print where an interrupted training resumes."""
        self.console = Console(soft_wrap=True, highlight=False)
        if trainer.is_global_zero and trainer.global_step:
            self.console.print(
                f"{'resumed':<10} in epoch {trainer.current_epoch + 1}, after step {trainer.global_step:,}"
            )

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print the line of the epoch. Lightning asks checkpoints last, so that they hold the best of before."""
        assert isinstance(pl_module, Learner)
        if not trainer.is_global_zero:
            return
        monitor = pl_module.experiment.schedule.monitor
        shown = show_scores(pl_module.epoch_metrics, monitor=monitor)
        best = "  [bold green]best so far[/]" if _improves(trainer, float(pl_module.epoch_metrics[monitor])) else ""
        self.console.print(f"epoch {trainer.current_epoch + 1:3d}  step {trainer.global_step:6d}  {shown}{best}")

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print why a training ended before its last epoch."""
        assert isinstance(pl_module, Learner)
        stopping = trainer.early_stopping_callback
        if trainer.is_global_zero and isinstance(stopping, EarlyStopping) and stopping.stopped_epoch:
            monitor, waited = pl_module.experiment.schedule.monitor, stopping.wait_count
            self.console.print(f"{'stopped':<10} valid {monitor} has not improved for {waited} epochs")


def _improves(trainer: lightning.Trainer, value: float) -> bool:
    keeper = trainer.checkpoint_callback
    assert isinstance(keeper, ModelCheckpoint)
    assert keeper.monitor is not None, "the first checkpoint callback keeps the best epoch"
    before = keeper.best_model_score
    return before is None or (value > float(before) if keeper.mode == "max" else value < float(before))


class StepBar(EndListener, EpochLines):
    """The lines stay, and below them a bar counts the steps of the epoch."""

    bar: Progress | None = None
    task: TaskID | None = None  # of the epoch
    shown_at = 0.0  # time of the last update, by the monotonic clock [s]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the bar, and listen to the steps."""
        super().on_train_start(trainer, pl_module)
        if trainer.is_global_zero:
            cast("Learner", pl_module).report_step = self.show_step
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("step {task.completed}/{task.total}"))
            self.bar = Progress(*columns, TimeRemainingColumn(), console=self.console, transient=True)
            self.bar.start()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Begin again at the first step."""
        if self.bar is None:
            return
        if self.task is not None:
            self.bar.remove_task(self.task)
        steps = len(cast("ChunkLoader", trainer.train_dataloader).batches)
        self.task = self.bar.add_task(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", total=steps)

    def show_step(self, step: int) -> None:
        """Update the bar, at most twenty times a second, and at the end."""
        if self.bar is None or self.task is None:
            return
        now = time.monotonic()
        if now - self.shown_at > REFRESH_S or step == self.bar.tasks[-1].total:
            self.shown_at = now
            self.bar.update(self.task, completed=step, refresh=True)

    def end(self) -> None:
        """Remove the bar: restore the terminal."""
        if self.bar is not None:
            self.bar.stop()
