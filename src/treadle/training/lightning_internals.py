"""What training uses of Lightning beyond its documented interface. No other module does.

Tested with pytorch-lightning 2.6.6. The range in pyproject.toml ends before the next minor version, which may change
any of it; `tests/training/test_steps.py`, `test_resume.py` and `test_learner.py` then fail.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.strategies import Strategy
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException

from treadle.errors import TreadleError


@dataclass(frozen=True)
class Precision:
    """What a precision does around a step."""

    forward_context: Callable[[], AbstractContextManager[None]]  # around forward and loss
    scaler: torch.amp.GradScaler | None  # of the loss, with 16-mixed
    is_bfloat16: bool  # whether the context is that of bf16-mixed


def read_precision(strategy: Strategy) -> Precision:
    """The precision of a strategy's plugin: steps are taken without the wrapper of the optimizer that applies it.

    That wrapper costs half a millisecond a step, as long as a step of a small network.
    """
    plugin = strategy.precision_plugin
    if not isinstance(plugin, MixedPrecision):
        return Precision(nullcontext, None, is_bfloat16=False)
    return Precision(plugin.forward_context, plugin.scaler, is_bfloat16=plugin.precision == "bf16-mixed")


def prepare_backward(strategy: Strategy, loss: Tensor) -> None:
    """What `LightningModule.manual_backward` does before the backward pass: processes await each other's gradients."""
    strategy.pre_backward(loss)


def add_steps(trainer: lightning.Trainer, count: int) -> None:
    """Add to `Trainer.global_step`, by which checkpoints, rows and resuming go: the bypassed wrapper counts it."""
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    for tracker in (progress.total, progress.current):
        tracker.ready += count
        tracker.completed += count


def set_epoch_length(trainer: lightning.Trainer, num_batches: int) -> None:
    """Validate after so many batches: Lightning counts those of the first epoch, and the last one may be shorter."""
    trainer.val_check_batch = num_batches


@contextmanager
def reporting_processes() -> Iterator[None]:
    """The error of a spawned process in one line, in place of its traceback in that of torch."""
    try:
        yield
    except ProcessRaisedException as error:
        last = str(error).strip().splitlines()[-1].removeprefix(f"{TreadleError.__module__}.TreadleError: ")
        raise TreadleError(f"a process of the training failed: {last}") from error


@contextmanager
def raising_interrupts() -> Iterator[None]:
    """Ctrl-C as KeyboardInterrupt, in place of the SystemExit with which `Trainer.fit` answers it."""
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error


class Silence:
    """Silences notices where it is made; and, kept by a Trainer, in the processes that this one spawns.

    A spawned process begins with Python's own filters, and unpickles the Trainer before Lightning says anything.
    """

    def __init__(self) -> None:
        silence_notices()

    def __reduce__(self) -> tuple[type[Silence], tuple[()]]:
        """Made anew."""
        return Silence, ()


def spawn_silently(trainer: Any) -> None:
    """Let the trainer, of either package, take silence along into spawned processes."""
    trainer.silence = Silence()


def silence_notices() -> None:
    """Leave out log lines and warnings that say nothing about the run: unused devices, tips, advertisements."""
    for package in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    os.environ.setdefault("POSSIBLE_USER_WARNINGS", "off")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")  # on the login node of a cluster
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=".*all_gather is deprecated")  # Lightning's own call, with torch 2.13
    # Of save_hyperparameters(): checkpoints leave the arguments out anyway.
    warnings.filterwarnings("ignore", message="Attribute .* is already saved during checkpointing")
