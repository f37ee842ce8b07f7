"""Predictions of a learner: its `predict_step` on its datamodule's `predict_dataloader`, into a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from treadle.bundle import write_rows
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import LearnerExperiment
from treadle.learners.build import Workshop, make_trainer, open_workshop, reporting_mistakes
from treadle.learners.bundle import LearnerBundle, require_targets
from treadle.tasks import PREDICTION
from treadle.tensor_files import save_whole

_TENSORS = ".pt"  # of a file that takes predictions of any shape


def predict(bundle: LearnerBundle, *, output: Path, datamodule: Mapping[str, Any]) -> int:
    """Predict, write the file, and return the number of batches.

    Parquet and CSV take a tensor `[B]` or `[B, K]` a batch, or a dictionary of such by column; `.pt` takes whatever
    `predict_step` returns, a list with an entry a batch.

    Args:
        bundle: what predicts.
        output: the file.
        datamodule: arguments of the datamodule in place of those of the training, such as the folder of new data.

    Raises:
        TreadleError: the datamodule has no such argument, or the file cannot hold what `predict_step` returns.
    """
    batches = predict_batches(bundle, datamodule=datamodule, folder=RunFolder(output.parent))
    if output.suffix == _TENSORS:
        save_whole(batches, output)
    else:
        write_rows(tabulate(batches), output)
    return len(batches)


def predict_batches(
    bundle: LearnerBundle, *, datamodule: Mapping[str, Any], folder: RunFolder | None = None
) -> list[Any]:
    """What `predict_step` returns for each batch.

    Args:
        bundle: what predicts.
        datamodule: arguments of the datamodule in place of those of the training.
        folder: where the loggers of the experiment write; None: nowhere.

    Raises:
        TreadleError: the datamodule has no such argument, or nothing says what is predicted.
    """
    experiment = bundle.experiment
    if datamodule:
        node = {**(experiment.datamodule or {}), **datamodule}
        experiment = experiment.model_copy(update={"datamodule": node})
        require_targets(experiment)
    workshop = open_workshop(experiment, folder=folder)
    _require_predicting(workshop, experiment)
    with reporting_mistakes():
        trainer = make_trainer(workshop, experiment, devices=1)
        batches: list[Any] = trainer.predict(
            workshop.learner, datamodule=workshop.datamodule, ckpt_path=bundle.weights, weights_only=True
        )
    return batches


def _require_predicting(workshop: Workshop, experiment: LearnerExperiment) -> None:
    if not workshop.defines("predict_step"):
        raise TreadleError(
            f"learner: {experiment.learner['_target_']} has no predict_step, which says what it predicts for a batch"
        )
    if not workshop.gives("predict_dataloader"):
        owner = experiment.datamodule or experiment.learner
        raise TreadleError(
            f"{owner['_target_']} has no predict_dataloader, which gives the batches to predict; with other data "
            "than those of the training, let an argument choose them: --datamodule KEY=VALUE sets it"
        )


def tabulate(batches: list[Any]) -> pl.DataFrame:
    """The predictions of all batches as a table.

    Raises:
        TreadleError: no table holds them.
    """
    parts = [batch if isinstance(batch, dict) else {PREDICTION: batch} for batch in batches]
    names = list(dict.fromkeys(name for part in parts for name in part))
    columns: dict[str, Any] = {}
    for name in names:
        values = [part.get(name) for part in parts]
        if not all(isinstance(value, Tensor) and value.ndim in (1, 2) for value in values):
            raise TreadleError(
                f"predict_step returns {_describe(values[0])}, which no table holds: return a tensor of one or two "
                f"dimensions or a dictionary of such, or write a file that ends in {_TENSORS}"
            )
        joined = torch.cat([value.cpu() for value in values if value is not None])
        if joined.ndim == 1:
            columns[name] = joined.numpy()
        else:
            columns |= {f"{name}_{index}": joined[:, index].numpy() for index in range(joined.shape[1])}
    return pl.DataFrame(columns)


def _describe(value: Any) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
