"""The stage `featurize`: fit on the training split, and materialise the tensors that training slices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch

from treadle.experiment.spec import Features
from treadle.features.featurizer import Featurizer
from treadle.schema import LABEL, WEIGHT, Batch, Task


def featurize(features: Features, *, task: Task, targets: Sequence[str], examples: Path, folder: Path) -> None:
    """Write the fitted featurizer, `train.pt`, `valid.pt` and `inputs.json` into `folder`.

    The test split is not read here.

    Raises:
        TreadleError: a step or an expression does not fit the columns; nothing is written then.
    """
    torch.set_num_threads(1)  # more gain nothing here, and cost much where the machine is busy
    frames = {split: pl.read_parquet(examples / f"{split}.parquet") for split in ("train", "valid")}
    featurizer = Featurizer(features, targets=targets)
    fitted = featurizer.fit(frames["train"])
    classes = sorted(frames["train"][LABEL].unique().to_list()) if task == "multiclass" else []
    folder.mkdir(parents=True, exist_ok=True)
    for split, frame in frames.items():
        numeric, ids = fitted if split == "train" else featurizer(frame)
        target = read_target(frame, classes=classes)
        torch.save(Batch(numeric, ids, target, read_weight(frame))._asdict(), folder / f"{split}.pt")
    featurizer.save(folder)
    inputs = {
        "numeric": featurizer.numeric_names,
        "ids": dict(zip(featurizer.id_names, featurizer.cardinalities, strict=True)),
        "classes": classes,
    }
    (folder / "inputs.json").write_text(json.dumps(inputs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_batch(path: Path) -> Batch:
    """All rows of a split as one batch."""
    return Batch(**torch.load(path, weights_only=True))


def read_target(frame: pl.DataFrame, *, classes: Sequence[str]) -> torch.Tensor:
    """Targets `[B]`: float32, or the position among `classes`; a class that training never saw is -1."""
    if classes:
        positions = pl.Series(range(len(classes)), dtype=pl.Int64)
        ids = frame[LABEL].replace_strict(pl.Series(classes), positions, default=-1)
        return torch.from_numpy(ids.to_numpy(writable=True))
    return torch.from_numpy(frame[LABEL].cast(pl.Float32).to_numpy(writable=True))


def read_weight(frame: pl.DataFrame) -> torch.Tensor:
    """Sample weights `[B]`, 1 where none are declared."""
    if WEIGHT not in frame.columns:
        return torch.ones(len(frame))
    return torch.from_numpy(frame[WEIGHT].to_numpy(writable=True).astype(np.float32))
