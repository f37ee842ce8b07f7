"""The stage `train` of a learner of the user's own: by Lightning's Trainer, from the newest checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from treadle.disk import write_json
from treadle.errors import TreadleError
from treadle.experiment.run_folder import BEST, RunFolder
from treadle.experiment.spec import LearnerExperiment
from treadle.learners.build import Workshop, make_trainer, open_workshop, reporting_mistakes
from treadle.learners.bundle import save_bundle
from treadle.learners.records import EpochLog
from treadle.metrics.log import read_metrics_log
from treadle.tensor_files import save_whole
from treadle.training.lightning_internals import raising_interrupts
from treadle.training.resume import LAST, claim_checkpoints, find_state


def train(experiment: LearnerExperiment, *, folder: RunFolder, signature: str, log: EpochLog) -> None:
    """Train the learner on its datamodule, and write `folder.model`, `folder.bundle` and `folder.metrics_log`.

    An interrupted training of the same signature goes on from its last epoch, with the numbers of one that was not
    interrupted: its state stands in `folder.checkpoints`, which is for the caller to remove.

    Raises:
        TreadleError: the learner does not log what judges it, or the best value of it is not a number.
    """
    workshop = open_workshop(experiment, folder=folder)
    checkpoints = claim_checkpoints(folder.checkpoints, signature)
    callbacks = _make_callbacks(workshop, experiment, folder=folder, checkpoints=checkpoints, log=log)
    state = find_state(checkpoints, num_processes=experiment.trainer.num_processes)
    with reporting_mistakes(), raising_interrupts():
        trainer = make_trainer(
            workshop,
            experiment,
            devices=experiment.trainer.devices,
            strategy=experiment.trainer.strategy,
            num_nodes=experiment.trainer.num_nodes,
            max_epochs=experiment.fit.max_epochs,
            callbacks=callbacks,
        )
        trainer.fit(workshop.learner, datamodule=workshop.datamodule, ckpt_path=state, weights_only=True)
    _publish(experiment, folder)


def _make_callbacks(
    workshop: Workshop, experiment: LearnerExperiment, *, folder: RunFolder, checkpoints: Path, log: EpochLog
) -> list[Any]:
    """Record each epoch, keep the best and the newest, and stop early where the experiment asks for it."""
    fit, library = experiment.fit, workshop.library
    prints = not workshop.additions.has_progress
    epochs = library.Epochs(folder.metrics_log, monitor=fit.monitor, mode=fit.mode, log=log, prints=prints)
    shared = {"dirpath": checkpoints, "enable_version_counter": False, "save_on_train_epoch_end": True}
    best = library.ModelCheckpoint(filename=Path(BEST).stem, monitor=fit.monitor, mode=fit.mode, **shared)
    newest = library.ModelCheckpoint(filename=Path(LAST).stem, **shared)  # after `best`, whose state it holds
    if (stop := fit.early_stopping) is None:
        return [epochs, best, newest]
    rule = {"patience": stop.patience, "min_delta": stop.min_delta, "mode": fit.mode}
    return [epochs, library.EarlyStopping(fit.monitor, **rule), best, newest]


def _publish(experiment: LearnerExperiment, folder: RunFolder) -> None:
    """Put the best epoch into the stage's outputs, beside a summary of the training.

    Raises:
        TreadleError: its score is not a number.
    """
    monitor, epochs = experiment.fit.monitor, read_metrics_log(folder.metrics_log)
    best = folder.checkpoints / BEST
    if not best.is_file():
        raise TreadleError(f"fit.monitor: no epoch has logged {monitor!r}, so that none is the best; see metrics.csv")
    saved = torch.load(best, weights_only=True, map_location="cpu")
    score = epochs[saved["epoch"]].get(monitor, math.nan)
    if not math.isfinite(score):
        raise TreadleError(
            f"fit.monitor: {monitor!r} is {score} in the best epoch; a lower learning rate, or "
            "trainer.extra.gradient_clip_val, may keep the training finite"
        )
    folder.model.mkdir(parents=True, exist_ok=True)
    # Without what the callbacks remember: paths of this machine, which would make two equal trainings differ.
    save_whole({**saved, "callbacks": {}}, folder.model / BEST)
    summary = {
        "best_epoch": saved["epoch"] + 1,
        "num_epochs": len(epochs),
        "num_steps": int(epochs[-1]["step"]),
        "num_parameters": sum(v.numel() for v in saved["state_dict"].values() if isinstance(v, torch.Tensor)),
        "monitor": monitor,
        "score": score,
    }
    write_json(folder.model / "summary.json", summary)
    write_json(folder.validation, {"best_epoch": saved["epoch"] + 1, "valid": _select_metrics(epochs[saved["epoch"]])})
    save_bundle(experiment, saved, folder=folder.bundle)


def _select_metrics(epoch: Mapping[str, float]) -> dict[str, float | None]:
    """What the learner logged, as DVC reads it: JSON knows no NaN."""
    found = {name: value for name, value in epoch.items() if name not in {"epoch", "step"}}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}
