"""The classes of Treadle for learners that derive from `pytorch_lightning.LightningModule`."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning import callbacks as own
from pytorch_lightning.plugins.io import TorchCheckpointIO

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
