"""A Lightning project as its tutorial would have it: a convolutional net for digits, and their datamodule."""

import os
import shutil
from pathlib import Path

import polars as pl
import pytorch_lightning as lightning
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split


class DigitNet(lightning.LightningModule):
    """Two convolutions and a linear layer.

    Args:
        channels: of the first convolution.
        lr: learning rate.
        optimizer: takes the parameters and the learning rate.
    """

    def __init__(self, channels: int = 8, lr: float = 2e-3, optimizer=torch.optim.Adam, size: int = 8):
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(2 * channels * (size // 2) ** 2, 10),
        )

    def forward(self, images):
        return self.body(images)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        loss = functional.cross_entropy(self(images), labels)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_start(self):
        if Path("fail-in-epoch").is_file() and self.current_epoch == int(Path("fail-in-epoch").read_text()):
            os._exit(9)  # as a kill

    def _judge(self, batch, stage):
        images, labels = batch
        scores = self(images)
        self.log(f"{stage}/loss", functional.cross_entropy(scores, labels), sync_dist=True)
        self.log(f"{stage}/acc", (scores.argmax(dim=1) == labels).float().mean(), prog_bar=True, sync_dist=True)

    def validation_step(self, batch, batch_idx):
        self._judge(batch, "val")

    def test_step(self, batch, batch_idx):
        self._judge(batch, "test")

    def predict_step(self, batch, batch_idx):
        return self(batch[0]).softmax(dim=1)

    def configure_optimizers(self):
        return self.hparams.optimizer(self.parameters(), lr=self.hparams.lr)


class Digits(lightning.LightningDataModule):
    """Images in a table: a column a pixel, and the label last.

    Args:
        path: of the Parquet file.
        batch_size: rows per step of a process.
        limit: how many rows there are at most.
    """

    def __init__(self, path: str, batch_size: int = 64, limit: int = 600):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        table = torch.from_numpy(pl.read_parquet(self.hparams.path).to_numpy())
        table = table[torch.randperm(len(table), generator=torch.Generator().manual_seed(1))[: self.hparams.limit]]
        size = int((table.shape[1] - 1) ** 0.5)
        images = (table[:, :-1] / table[:, :-1].max()).float().reshape(-1, 1, size, size)
        rows = TensorDataset(images, table[:, -1].long())
        parts = random_split(rows, [0.7, 0.15, 0.15], generator=torch.Generator().manual_seed(2))
        self.train, self.val, self.test = parts

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=128)

    def test_dataloader(self):
        return DataLoader(self.test, batch_size=128)

    def predict_dataloader(self):
        return DataLoader(self.test, batch_size=128)


class FetchedDigits(Digits):
    """Brings its file when it is absent.

    Args:
        source: of the file; a server's address in a tutorial.
        path: of the Parquet file.
        limit: how many rows there are at most.
    """

    def __init__(self, source: str, path: str, limit: int = 600):
        super().__init__(path, limit=limit)
        self.save_hyperparameters()

    def prepare_data(self):
        if not Path(self.hparams.path).is_file():
            shutil.copyfile(self.hparams.source, self.hparams.path)


class UnlabelledDigits(Digits):
    """Has nothing to predict."""

    predict_dataloader = lightning.LightningDataModule.predict_dataloader


class Silent(DigitNet):
    """Logs nothing that could judge it."""

    def validation_step(self, batch, batch_idx):
        pass
