"""Resuming an interrupted training: from the end of its last epoch, or from the last checkpoint within a long one."""

from __future__ import annotations

import shutil
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from treadle.disk import write_text
from treadle.experiment.run_folder import BEST
from treadle.training.epochs import write_line
from treadle.training.learner import Learner
from treadle.training.loader import ChunkLoader
from treadle.training.resumable import EndListener, StopAgain, WholeCheckpoints

LAST = "last.ckpt"  # of the newest epoch that is over
_KEY = "within_epoch"  # of a checkpoint


class EpochCheckpoint(lightning.Callback):
    """Write a checkpoint within an epoch when enough time has passed or SIGTERM came, at the end of a chunk of steps.

    Beside Lightning's state it holds that of the epoch: its losses, and the state of each process's random generator.
    A resumed training ends with the same numbers as an uninterrupted one.

    Args:
        path: the file.
        seconds: between two checkpoints.
        ask_steps: how often several processes ask each other whether it is time [steps].
    """

    def __init__(self, path: Path, *, seconds: float, ask_steps: int) -> None:
        self.path = path
        self.seconds = seconds
        self.ask_steps = ask_steps
        self.written_at = time.monotonic()
        self.resumed: dict[str, Tensor] | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore losses and random generators of an epoch; a checkpoint of the end of an epoch holds none."""
        self.written_at = time.monotonic()
        if self.resumed is None:
            return
        assert isinstance(pl_module, Learner)
        pl_module.train_losses = list(self.resumed["losses"].to(pl_module.device).unbind())
        states = self.resumed["random"]
        _set_random(states[trainer.global_rank].cpu().clone(), pl_module.device)  # torch takes whole storages
        self.resumed = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Write, when it is due. The end of an epoch has its own checkpoint, after its validation."""
        loader = cast("ChunkLoader", trainer.train_dataloader)
        is_last = batch_idx + 1 >= len(loader)
        if not is_last and self._is_time(trainer):
            trainer.save_checkpoint(self.path)
            self.written_at = time.monotonic()

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the state of the epoch, unless it is over."""
        if trainer.training:
            assert isinstance(pl_module, Learner)
            random = _get_random(pl_module.device)
            gathered = pl_module.all_gather(random) if trainer.world_size > 1 else random[None]
            checkpoint[_KEY] = {"losses": torch.stack(pl_module.train_losses), "random": gathered}

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: lightning.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Keep it until the training starts."""
        self.resumed = checkpoint.get(_KEY)

    def _is_time(self, trainer: lightning.Trainer) -> bool:
        """All processes write, or none: the first one decides, and the others ask it now and then."""
        due = trainer.received_sigterm or time.monotonic() - self.written_at >= self.seconds
        if trainer.world_size == 1:
            return due
        return trainer.global_step % self.ask_steps == 0 and trainer.strategy.broadcast(due)


class Termination(EndListener, lightning.Callback):
    """SIGTERM while a training runs: the first one ends it after the chunk of steps under way, and its checkpoint.

    Lightning does so by itself, but also calls the handler that stood before, such as that of a sweep's worker, which
    raises within a step. So that one is called before and after the training, and for a second SIGTERM.
    """

    def __init__(self) -> None:
        self.is_training = False
        self.is_asked = False

    @contextmanager
    def deferring(self) -> Iterator[None]:
        """In place of the handler that stands now; where there is none, Lightning is alone."""
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before) or threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self.is_asked or not self.is_training:
                before(number, frame)
            self.is_asked = True

        signal.signal(signal.SIGTERM, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """From here on there is a state to save."""
        self.is_training = True

    def end(self) -> None:
        """The state is saved, or lost."""
        self.is_training = False


class Checkpoints(WholeCheckpoints, TorchCheckpointIO):
    """Writes whole checkpoints."""


class StopEarly(StopAgain, EarlyStopping):
    """Stops early, again after a resume."""


def claim_checkpoints(checkpoints: Path, signature: str) -> Path:
    """The folder of the resume state; what another experiment left there is removed."""
    marker = checkpoints / "signature"
    if checkpoints.exists() and (not marker.is_file() or marker.read_bytes() != signature.encode()):
        shutil.rmtree(checkpoints)
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_text(marker, signature)
    return checkpoints


def read_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of the network in a checkpoint; a loss of the user's may have state of its own."""
    own = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("network.")}
    return {name.removeprefix("network."): value for name, value in own.items()}


def find_state(checkpoints: Path, *, num_processes: int) -> Path | None:
    """The newest checkpoint to resume from; one within an epoch is for as many processes as wrote it.

    A damaged one is reported and removed; an older one takes its place, else none, and the training begins anew. So
    does one whose best epoch is missing, from which the result would come.
    """
    files = [checkpoints / LAST, checkpoints / name_within_epoch(num_processes)]
    newest = sorted((file for file in files if file.is_file()), key=lambda file: -file.stat().st_mtime_ns)
    best = checkpoints / BEST
    needed = [*newest, best] if best.is_file() or _knows_best(files[0]) else newest
    damaged = [file for file in needed if not is_whole(file)]
    if not damaged:
        return newest[0] if newest else None
    state = None if best in damaged else next((file for file in needed if file not in damaged), None)
    where = f"goes on from {state.name}, an older state" if state is not None else "begins anew"
    write_line(f"{'train':<10} {', '.join(file.name for file in damaged)} in {checkpoints} is damaged; it {where}")
    for file in damaged if state is not None else needed:
        file.unlink(missing_ok=True)
    return state


def _knows_best(newest: Path) -> bool:
    """Whether there was a best epoch; a refit has none, nor a learner before it validates."""
    if not is_whole(newest):
        return False
    states = torch.load(newest, weights_only=True, map_location="cpu", mmap=True).get("callbacks", {}).values()
    return any(Path(state.get("best_model_path", "")).name == BEST for state in states if isinstance(state, dict))


def is_whole(checkpoint: Path) -> bool:
    """Whether the file is a checkpoint whose checksums match."""
    try:
        with zipfile.ZipFile(checkpoint) as parts:
            return parts.testzip() is None
    except Exception:  # noqa: BLE001 - a broken archive fails in a dozen ways
        return False


def name_within_epoch(num_processes: int) -> str:
    """The file of the state within an epoch: chunks of steps, and rows of a process, depend on their number."""
    return f"within-epoch-{num_processes}.ckpt"


def _get_random(device: torch.device) -> Tensor:
    """State of the random generator, for dropout."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
