"""What each model of the matrix predicts of all rows that came after it: made once, kept by the model's signature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.bundle import load
from treadle.disk import read_text, replacing
from treadle.evaluation.evaluated import find_blocks
from treadle.evaluation.resampling import Blocks
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.features.featurize import read_target
from treadle.replay.matrix import Origin, Plan
from treadle.replay.trained import Trained
from treadle.schema import PREDICT_AT, ROW
from treadle.tasks import TRAITS, Traits

Array = NDArray[Any]
_DIGITS = 16  # of a signature, in the name of a file


@dataclass(frozen=True)
class Predictions:
    """Of N rows in the order of time, which begin with the first block."""

    moments: NDArray[np.datetime64]  # `[N]` of the prediction
    target: Array  # `[N]`; of a multiclass task the position of the class
    models: Mapping[Origin, Array]  # `[N]`, or `[N, K]`; NaN before the model's moment
    num_trained: Mapping[Origin, int]  # rows that the model was trained and validated on
    blocks: Blocks  # of rows that hang together: what is resampled

    def locate(self, moment: datetime) -> int:
        """How many rows come before a moment."""
        return int(np.searchsorted(self.moments, np.datetime64(moment)))


def predict_all(plan: Plan, models: Mapping[Origin, Trained], *, experiment: Experiment, folder: Path) -> Predictions:
    """Predict with each model what came after it.

    Args:
        plan: of the matrix.
        models: all of them.
        experiment: that is replayed.
        folder: where predictions are kept.
    """
    rows = _read_later(models[Origin(0, None)].folder, plan).sort(PREDICT_AT, ROW)
    frames = {
        origin: _predict(
            model.folder, plan, file=folder / f"{model.signature[:_DIGITS]}.parquet", experiment=experiment
        )
        for origin, model in models.items()
    }
    traits = TRAITS[experiment.data.answer]
    classes = list(dict.fromkeys(name for frame in frames.values() for name in traits.read_names(frame.columns)))
    return Predictions(
        moments=rows[PREDICT_AT].to_numpy(),
        target=read_target(rows, classes=classes).numpy(),
        models={origin: _align(frame, rows, traits=traits, classes=classes) for origin, frame in frames.items()},
        num_trained={origin: _count_rows(model.folder) for origin, model in models.items()},
        blocks=find_blocks(rows.lazy(), experiment),
    )


def _read_later(run: RunFolder, plan: Plan) -> pl.DataFrame:
    """The rows after the model's moment, up to the end of the last block."""
    rows = pl.scan_parquet(run.examples / "test.parquet")
    return rows.filter(pl.col(PREDICT_AT) < plan.starts[-1]).collect()


def _predict(run: RunFolder, plan: Plan, *, file: Path, experiment: Experiment) -> pl.DataFrame:
    """The predictions of a model, with the key of each row."""
    if file.is_file():
        return pl.read_parquet(file)
    bundle = load(run.path, targets=experiment.targets, on_breach="allow", code="any")
    outputs = TRAITS[bundle.task].name_outputs(bundle.classes)
    predicted = bundle.predict(_read_later(run, plan)).select(ROW, *outputs)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        predicted.write_parquet(part)
    return predicted


def _align(predicted: pl.DataFrame, rows: pl.DataFrame, *, traits: Traits, classes: Sequence[str]) -> Array:
    """The predictions of these rows; a class that the model had not seen by then has the probability 0."""
    found = rows.select(ROW).join(predicted, on=ROW, how="left", maintain_order="left")
    outputs = traits.name_outputs(classes)
    own = [name for name in outputs if name in found.columns]
    unseen = np.where(found[own[0]].is_not_null().to_numpy(), 0.0, np.nan)
    columns = [found[name].to_numpy() if name in own else unseen for name in outputs]
    return np.stack(columns, axis=1) if traits.has_classes else columns[0]


def _count_rows(run: RunFolder) -> int:
    """Rows that trained and validated a model."""
    counts = json.loads(read_text(run.examples / "summary.json"))["rows"]
    return int(counts["train"]) + int(counts["valid"])
