"""The classes of Treadle for learners that derive from `lightning.LightningModule`, another class."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch import callbacks as own
from lightning.pytorch.plugins.io import TorchCheckpointIO

from treadle.learners import records
from treadle.training.resumable import StopAgain

__all__ = [
    "Checkpoints",
    "EarlyStopping",
    "Epochs",
    "LightningDataModule",
    "LightningModule",
    "ModelCheckpoint",
    "Trainer",
]

ModelCheckpoint = own.ModelCheckpoint


class Epochs(records.EpochRecord, Callback):
    """Writes each epoch's row."""


class EarlyStopping(StopAgain, own.EarlyStopping):
    """Stops early, again after a resume."""


class Checkpoints(records.PlainCheckpoints, TorchCheckpointIO):
    """Writes plain values."""
