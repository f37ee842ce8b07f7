"""The training loop: Lightning trains a network on rows, from the newest checkpoint where there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from treadle.experiment.run_folder import BEST
from treadle.experiment.spec import Experiment
from treadle.metrics.registry import find_metric
from treadle.schema import Batch
from treadle.training.additions import NOTHING, Additions, list_plugins
from treadle.training.augmentation import Augment
from treadle.training.execution import Execution, Work, count_work, decide_execution
from treadle.training.learner import Learner
from treadle.training.lightning_internals import reporting_processes, silence_notices, spawn_silently
from treadle.training.loader import Batching, ChunkLoader, Loader, count_batches
from treadle.training.optimizer_state import NO_STATE, State
from treadle.training.progress import make_progress
from treadle.training.requirements import find_min_rows
from treadle.training.resume import (
    LAST,
    Checkpoints,
    EpochCheckpoint,
    StopEarly,
    Termination,
    find_state,
    name_within_epoch,
)
from treadle.training.rows import Rows
from treadle.training.scaling import Scaling

# None of them changes the numbers.
CHUNK_STEPS = 256  # of training, in one step of Lightning's, whose own half millisecond is then hardly there
VALID_ROWS = 16_384  # of a validation batch
CHECKPOINT_S = 300.0  # between two checkpoints within an epoch


def fit(
    network: nn.Module,
    rows: Mapping[str, Rows],
    experiment: Experiment,
    *,
    scaling: Scaling,
    checkpoints: Path,
    callbacks: Sequence[lightning.Callback],
    additions: Additions = NOTHING,
    augment: Augment | None = None,
    state: State = NO_STATE,
    until_epoch: int | None = None,
    chunk_steps: int = CHUNK_STEPS,
    checkpoint_s: float = CHECKPOINT_S,
) -> None:
    """Train the network in place, from the state in `checkpoints` where there is one.

    Args:
        network: its weights are those of the last epoch afterwards.
        rows: of the splits `train` and `valid`.
        experiment: checked.
        scaling: of the rows.
        checkpoints: where the best epoch and the newest state are kept.
        callbacks: stand before those of the schedule.
        additions: callbacks, loggers and arguments of the Trainer that the experiment adds.
        augment: mixes each batch; None: batches stay as they are.
        state: with which the optimizer begins.
        until_epoch: end after so many epochs of the schedule, without validating; None: as the schedule says.
        chunk_steps: of training, in one step of Lightning's; does not change the numbers.
        checkpoint_s: between two checkpoints within an epoch [s].
    """
    batch_size, num_processes = experiment.schedule.batch_size, experiment.trainer.num_processes
    min_rows = find_min_rows(network, rows, batch_size=batch_size, num_processes=num_processes)
    per_epoch = _count_steps(rows["train"], experiment, min_rows=min_rows)
    learner = _make_learner(
        network, rows["train"], experiment, per_epoch=per_epoch, scaling=scaling, augment=augment, state=state
    )
    within = checkpoints / name_within_epoch(num_processes)
    within_epoch = EpochCheckpoint(within, seconds=checkpoint_s, ask_steps=chunk_steps)
    termination = Termination()
    validates = until_epoch is None
    own = [*_make_callbacks(experiment, checkpoints, validates=validates), within_epoch, termination]
    trainer = _make_trainer(
        experiment,
        [*additions.callbacks, *callbacks, *own],
        additions,
        num_epochs=math.ceil(learner.num_steps / per_epoch) if until_epoch is None else until_epoch,
        precision=learner.execution.precision.value,
        validates=validates,
    )
    train_loader, valid_loader = _make_loaders(rows, experiment, learner, min_rows=min_rows, chunk_steps=chunk_steps)
    with termination.deferring(), reporting_processes():
        trainer.fit(
            learner,
            train_dataloaders=train_loader,
            val_dataloaders=valid_loader,
            ckpt_path=find_state(checkpoints, num_processes=num_processes),
            weights_only=True,
        )


def count_steps(network: nn.Module, rows: Mapping[str, Rows], experiment: Experiment) -> int:
    """The steps of a whole epoch."""
    size, num_processes = experiment.schedule.batch_size, experiment.trainer.num_processes
    min_rows = find_min_rows(network, rows, batch_size=size, num_processes=num_processes)
    return _count_steps(rows["train"], experiment, min_rows=min_rows)


def _count_steps(rows: Rows, experiment: Experiment, *, min_rows: int) -> int:
    return count_batches(
        rows.num_rows,
        batch_size=experiment.schedule.batch_size,
        min_rows=min_rows * experiment.trainer.num_processes,
        limit=experiment.trainer.limit_batches,
    )


def _make_learner(
    network: nn.Module,
    rows: Rows,
    experiment: Experiment,
    *,
    per_epoch: int,
    scaling: Scaling,
    augment: Augment | None,
    state: State,
) -> Learner:
    """The learner of these training rows, for as many steps as the schedule has; `per_epoch` of them are an epoch."""
    most = per_epoch * experiment.schedule.max_epochs
    learner = Learner(
        network,
        experiment=experiment,
        num_steps=min(most, experiment.schedule.max_steps or most),
        weighted=any(bool((weight != 1).any()) for _, weight in rows.read_targets()),
        scaling=scaling,
        augment=augment,
        state=state,
    )
    learner.execution = _decide_execution(learner, rows, experiment, per_epoch=per_epoch)
    return learner


def _decide_execution(learner: Learner, rows: Rows, experiment: Experiment, *, per_epoch: int) -> Execution:
    """Precision and compilation for this network, these rows and this device."""
    size = experiment.schedule.batch_size
    return decide_execution(
        experiment,
        device="cuda" if experiment.trainer.accelerator == "gpu" and torch.cuda.is_available() else "cpu",
        num_processes=experiment.trainer.num_processes,
        planned_steps=learner.num_steps * min(rows.num_rows // size, per_epoch) // per_epoch,
        count=cache(lambda: _count_work(learner, rows.take_first(size))),
    )


def _count_work(learner: Learner, batch: Batch) -> Work:
    def compute_loss() -> torch.Tensor:
        return learner.compute_loss(learner.network(*batch.inputs), batch)

    return count_work(compute_loss, list(learner.parameters()), buffers=list(learner.buffers()))


def _make_callbacks(experiment: Experiment, checkpoints: Path, *, validates: bool) -> list[lightning.Callback]:
    """Keep the newest epoch and, by validation, the best; and stop early where the schedule asks for it."""
    newest = ModelCheckpoint(dirpath=checkpoints, filename=Path(LAST).stem, enable_version_counter=False)
    if not validates:
        return [newest]
    schedule = experiment.schedule
    metric = find_metric(experiment, schedule.monitor)
    assert metric is not None, "the check has verified schedule.monitor"
    mode = "max" if metric.higher_is_better else "min"
    best = ModelCheckpoint(
        dirpath=checkpoints,
        filename=Path(BEST).stem,
        monitor=schedule.monitor,
        mode=mode,
        enable_version_counter=False,
    )
    # The newest after `best`, whose state it holds. (Lightning's `save_last` writes only when the best improves.)
    if (stop := schedule.early_stopping) is None:
        return [best, newest]
    return [best, newest, StopEarly(schedule.monitor, patience=stop.patience, min_delta=stop.min_delta, mode=mode)]


def _make_loaders(
    rows: Mapping[str, Rows], experiment: Experiment, learner: Learner, *, min_rows: int, chunk_steps: int
) -> tuple[ChunkLoader, Loader]:
    """The loaders of `train` and `valid`."""
    schedule, num_processes = experiment.schedule, experiment.trainer.num_processes
    shared = partial(Batching, max_batches=experiment.trainer.limit_batches, num_processes=num_processes, clock=learner)
    train = shared(
        batch_size=schedule.batch_size,
        shuffle_seed=experiment.seed,
        sampling=schedule.sampling,
        max_steps=schedule.max_steps,
        min_rows=min_rows,
    )
    valid = shared(batch_size=VALID_ROWS, shuffle_seed=None, sampling="shuffle", max_steps=None)
    # Several processes agree on the network's buffers once a step of Lightning's.
    chunk_size = chunk_steps if num_processes == 1 else 1
    return ChunkLoader(rows["train"].make_loader(train), chunk_size=chunk_size), rows["valid"].make_loader(valid)


def _make_trainer(
    experiment: Experiment,
    callbacks: list[lightning.Callback],
    additions: Additions,
    *,
    num_epochs: int,
    precision: str,
    validates: bool,
) -> lightning.Trainer:
    trainer, extra = experiment.trainer, dict(additions.arguments)
    silence_notices()
    made = lightning.Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        strategy=trainer.strategy,
        num_nodes=trainer.num_nodes,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=num_epochs,
        use_distributed_sampler=False,  # the loader knows its own share
        num_sanity_val_steps=0,
        logger=additions.loggers or False,  # `MetricsLog` writes the metrics; W&B listens to it
        callbacks=callbacks if additions.has_progress else [*callbacks, make_progress()],
        enable_model_summary=False,
        enable_progress_bar=additions.has_progress,
        plugins=[Checkpoints(), *list_plugins(extra.pop("plugins", None))],
        # A step of Lightning's is a chunk of steps.
        **{"log_every_n_steps": 1, **extra, **({} if validates else {"limit_val_batches": 0})},
    )
    spawn_silently(made)
    return made
