"""The stage `train`: from tensors to a bundle."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from treadle.bundle import Bundle, Card, Recipe, Standard, build_network, fingerprint_code, save
from treadle.disk import write_text
from treadle.errors import TreadleError
from treadle.experiment.spec import NO_AUGMENTATION, Experiment
from treadle.features.featurizer import Featurizer
from treadle.metrics.registry import find_metric
from treadle.schema import Batch, FitsInputs
from treadle.targets.build import build
from treadle.tensor_files import save_whole
from treadle.training.augmentation import Augment
from treadle.training.choices import Choices, Work, choose, count_work
from treadle.training.history import EpochLog, History, read_history
from treadle.training.learner import Learner
from treadle.training.loader import ChunkLoader, Cut, Loader, count_batches
from treadle.training.losses import build_loss
from treadle.training.progress import make_progress
from treadle.training.requirements import count_fewest, explain_failure, require_rows
from treadle.training.resume import (
    BEST,
    LAST,
    EpochCheckpoint,
    StopEarly,
    WholeCheckpoints,
    find_state,
    name_within_epoch,
)
from treadle.training.rows import Rows, open_rows
from treadle.training.scaling import Scaling, find_link

# None of them changes the numbers.
CHUNK_STEPS = 256  # of training, in one step of Lightning's, whose own half millisecond is then hardly there
VALID_ROWS = 16_384  # of a validation batch
CHECKPOINT_S = 300.0  # between two checkpoints within an epoch


def train(experiment: Experiment, *, folder: Path, signature: str, log: EpochLog) -> None:
    """Train on `folder/features`, and write `folder/model`, `folder/bundle` and `folder/metrics.csv`.

    An interrupted training of the same signature goes on from its last epoch, or from within a long one: its
    state stands in `folder/checkpoints`, outside of the stage's outputs, and is for the caller to remove.

    Raises:
        TreadleError: the machine lacks what `trainer` asks for, or the loss is not a number.
    """
    _require_machine(experiment)
    torch.set_num_threads(experiment.trainer.threads)
    torch.manual_seed(experiment.seed)
    features = folder / "features"
    inputs = json.loads((features / "inputs.json").read_text(encoding="utf-8"))
    rows, scaling = open_rows(features, experiment, classes=inputs["classes"])
    network = build_network(
        experiment.network,
        targets=experiment.targets,
        num_numeric=len(inputs["numeric"]),
        cardinalities=inputs["cardinalities"],
        num_classes=len(inputs["classes"]),
    )
    if isinstance(network, FitsInputs):
        network.fit_inputs(rows["train"].sample_numeric())
    featurizer = Featurizer.load(features, spec=experiment.features, targets=experiment.targets)
    augment = _build_augmentation(experiment, featurizer)
    require_rows(rows, experiment=experiment)
    _fit(network, rows, experiment, scaling, augment, folder=folder, signature=signature, log=log)
    best = _publish(folder, rows, monitor=experiment.schedule.monitor, numeric=inputs["numeric"])
    network.load_state_dict(best)
    recipe = Recipe.take(experiment)
    card = Card(
        task=experiment.data.task,
        classes=inputs["classes"],
        columns=json.loads((folder / "examples" / "schema.json").read_text(encoding="utf-8")),
        target=Standard(mean=scaling.mean, scale=scaling.scale, link=find_link(build_loss(experiment))),
        code=fingerprint_code(recipe),
    )
    save(Bundle(card, recipe, featurizer, network.eval()), folder / "bundle")


def _build_augmentation(experiment: Experiment, featurizer: Featurizer) -> Augment | None:
    if experiment.augmentation["_target_"] == NO_AUGMENTATION:
        return None
    columns = {"numeric_columns": featurizer.numeric_columns, "id_columns": featurizer.id_columns}
    augment: Augment = build(experiment.augmentation, key="augmentation", targets=experiment.targets, **columns)
    return augment


def _require_machine(experiment: Experiment) -> None:
    if experiment.trainer.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise TreadleError(
            "trainer.accelerator: 'gpu' is asked for, and torch sees no GPU on this machine; "
            "add the override trainer=cpu or, under DVC, compose anew: `dvc repro --force compose`"
        )


def _fit(
    network: nn.Module,
    rows: Mapping[str, Rows],
    experiment: Experiment,
    scaling: Scaling,
    augment: Augment | None,
    *,
    folder: Path,
    signature: str,
    log: EpochLog,
) -> None:
    """Run Lightning; the best epoch is left among the checkpoints."""
    checkpoints = _claim_checkpoints(folder / "checkpoints", signature)
    history = History(folder / "metrics.csv", log=log)
    try:
        fit(
            network,
            rows,
            experiment,
            scaling=scaling,
            checkpoints=checkpoints,
            callbacks=[history],
            augment=augment,
        )
    except SystemExit as error:  # Lightning's way to end on Ctrl-C
        raise KeyboardInterrupt from error


def fit(
    network: nn.Module,
    rows: Mapping[str, Rows],
    experiment: Experiment,
    *,
    scaling: Scaling,
    checkpoints: Path,
    callbacks: Sequence[lightning.Callback],
    augment: Augment | None = None,
) -> None:
    """Train the network in place, from the state in `checkpoints` where there is one.

    Args:
        network: its weights are those of the last epoch afterwards.
        rows: of the splits `train` and `valid`.
        experiment: checked.
        scaling: of the rows.
        checkpoints: where the best epoch and the newest state are kept.
        callbacks: stand before those of the schedule.
        augment: mixes each batch; None: batches stay as they are.
    """
    schedule, num_processes = experiment.schedule, experiment.trainer.num_processes
    fewest = count_fewest(network, rows, batch_size=schedule.batch_size, num_processes=num_processes)
    per_epoch = count_batches(
        rows["train"].num_rows,
        batch_size=schedule.batch_size,
        fewest=fewest * num_processes,
        limit=experiment.trainer.limit_batches,
    )
    num_steps = min(per_epoch * schedule.max_epochs, schedule.max_steps or per_epoch * schedule.max_epochs)
    learner = Learner(
        network,
        experiment=experiment,
        num_steps=num_steps,
        weighted=any(bool((weight != 1).any()) for _, weight in rows["train"].read_targets()),
        scaling=scaling,
        augment=augment,
    )
    learner.choices = _choose(learner, rows["train"], experiment, per_epoch=per_epoch)
    callbacks = [*callbacks, *_make_callbacks(experiment, checkpoints)]
    num_epochs = math.ceil(num_steps / per_epoch)
    trainer = _make_trainer(experiment, callbacks, num_epochs=num_epochs, precision=learner.choices.precision.value)
    state = find_state(checkpoints, num_processes=num_processes)
    trainer.fit(
        learner,
        train_dataloaders=_make_train_loader(rows["train"], experiment, learner, fewest=fewest),
        val_dataloaders=_make_valid_loader(rows["valid"], experiment, learner),
        ckpt_path=state,
        weights_only=True,
    )


def _choose(learner: Learner, rows: Rows, experiment: Experiment, *, per_epoch: int) -> Choices:
    """What `auto` comes to for this network, these rows and this device."""
    size = experiment.schedule.batch_size
    return choose(
        experiment,
        device="cuda" if experiment.trainer.accelerator == "gpu" and torch.cuda.is_available() else "cpu",
        num_processes=experiment.trainer.num_processes,
        planned_steps=learner.num_steps * min(rows.num_rows // size, per_epoch) // per_epoch,
        count=cache(lambda: _count_work(learner, rows.take_first(size))),
    )


def _count_work(learner: Learner, batch: Batch) -> Work:
    def compute_loss() -> torch.Tensor:
        return learner.compute_loss(learner.network(batch.numeric, batch.ids), batch)

    return count_work(compute_loss, list(learner.parameters()), buffers=list(learner.buffers()))


def _make_callbacks(experiment: Experiment, checkpoints: Path) -> list[lightning.Callback]:
    """Keep the best epoch and the newest, and stop where the schedule says so."""
    schedule = experiment.schedule
    metric = find_metric(task=experiment.data.task, name=schedule.monitor)
    assert metric is not None, "the check has verified schedule.monitor"
    mode = "max" if metric.higher_is_better else "min"
    best = ModelCheckpoint(
        dirpath=checkpoints,
        filename=Path(BEST).stem,
        monitor=schedule.monitor,
        mode=mode,
        enable_version_counter=False,
    )
    # After `best`, whose state it holds. (Lightning's `save_last` writes only when the best improves.)
    newest = ModelCheckpoint(dirpath=checkpoints, filename=Path(LAST).stem, enable_version_counter=False)
    within = checkpoints / name_within_epoch(experiment.trainer.num_processes)
    callbacks = [best, newest, EpochCheckpoint(within, seconds=CHECKPOINT_S, ask_steps=CHUNK_STEPS)]
    if (stop := schedule.early_stopping) is None:
        return callbacks
    stopping = StopEarly(schedule.monitor, patience=stop.patience, min_delta=stop.min_delta, mode=mode)
    return [*callbacks, stopping]


def _claim_checkpoints(checkpoints: Path, signature: str) -> Path:
    """The folder of the resume state; what another experiment left there is removed."""
    marker = checkpoints / "signature"
    if checkpoints.exists() and (not marker.is_file() or marker.read_bytes() != signature.encode()):
        shutil.rmtree(checkpoints)
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_text(marker, signature)
    return checkpoints


def _make_train_loader(rows: Rows, experiment: Experiment, learner: Learner, *, fewest: int) -> ChunkLoader:
    num_processes = experiment.trainer.num_processes
    cut = Cut(
        batch_size=experiment.schedule.batch_size,
        shuffle_seed=experiment.seed,
        sampling=experiment.schedule.sampling,
        max_batches=experiment.trainer.limit_batches,
        max_steps=experiment.schedule.max_steps,
        num_processes=num_processes,
        clock=learner,
        fewest=fewest,
    )
    # Several processes agree on the network's buffers once a step of Lightning's.
    chunk_size = CHUNK_STEPS if num_processes == 1 else 1
    return ChunkLoader(rows.make_loader(cut), chunk_size=chunk_size)


def _make_valid_loader(rows: Rows, experiment: Experiment, learner: Learner) -> Loader:
    cut = Cut(
        batch_size=VALID_ROWS,
        shuffle_seed=None,
        sampling="shuffle",
        max_batches=experiment.trainer.limit_batches,
        max_steps=None,
        num_processes=experiment.trainer.num_processes,
        clock=learner,
    )
    return rows.make_loader(cut)


def _make_trainer(
    experiment: Experiment, callbacks: list[lightning.Callback], *, num_epochs: int, precision: str
) -> lightning.Trainer:
    trainer = experiment.trainer
    _quiet_lightning()
    return lightning.Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        strategy=trainer.strategy,
        num_nodes=trainer.num_nodes,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=num_epochs,
        use_distributed_sampler=False,  # the loader knows its own share
        num_sanity_val_steps=0,
        logger=False,  # `History` is the record; W&B listens to it
        callbacks=[*callbacks, make_progress()],
        enable_model_summary=False,
        enable_progress_bar=False,
        plugins=[WholeCheckpoints()],
    )


def _quiet_lightning() -> None:
    """Leave out what says nothing about this run: which devices are unused, tips, advertisements."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    os.environ.setdefault("POSSIBLE_USER_WARNINGS", "off")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


def _publish(
    folder: Path, rows: Mapping[str, Rows], *, monitor: str, numeric: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Put the best epoch into the stage's output, beside a summary of the training; return its weights.

    Raises:
        TreadleError: no epoch's score is a number.
    """
    checkpoints, model, history = folder / "checkpoints", folder / "model", read_history(folder / "metrics.csv")
    saved = torch.load(checkpoints / BEST, weights_only=True)
    score = history[saved["epoch"]][f"valid/{monitor}"]
    if not math.isfinite(score):
        raise TreadleError(explain_failure(rows, history=history, monitor=monitor, numeric=numeric))
    # A loss of the user's may have state of its own.
    own = {name: value for name, value in saved["state_dict"].items() if name.startswith("network.")}
    weights = {name.removeprefix("network."): value for name, value in own.items()}
    model.mkdir(parents=True, exist_ok=True)
    # Without what the callbacks remember: paths of this machine, which would make two equal trainings differ.
    save_whole({**saved, "callbacks": {}}, model / BEST)
    summary = {
        "best_epoch": saved["epoch"] + 1,
        "num_epochs": len(history),
        "num_steps": int(history[-1]["step"]),
        "num_parameters": sum(value.numel() for value in weights.values()),
        "monitor": monitor,
        "score": score,
        **saved["choices"],
    }
    (model / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return weights
