"""Training of estimators: they train themselves, and are watched as networks are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.features.featurizer import Featurizer
from treadle.metrics.own import build_metrics
from treadle.metrics.registry import find_metric
from treadle.models.estimator import Estimator, Objective, Training, restart
from treadle.models.levels import LevelEstimators
from treadle.schema import Batch, Split
from treadle.tasks import pick_by_task
from treadle.training.epochs import EpochFile, EpochLog, show_scores, write_line, write_summary
from treadle.training.losses import Loss, build_loss
from treadle.training.rows import Rows, is_refitted, join
from treadle.training.scaling import Scaling, find_link
from treadle.training.scores import compute_prediction_loss, compute_scores

SHOWN = 10  # epochs between two lines


def train_estimator(
    estimator: Estimator,
    rows: Mapping[str, Rows],
    experiment: Experiment,
    *,
    scaling: Scaling,
    featurizer: Featurizer,
    folder: RunFolder,
    log: EpochLog,
) -> list[Split]:
    """Train in place; the rounds are those of the best epoch afterwards, or of the second training.

    Before that one, the best epoch's are written into `folder.model`.

    Returns:
        The splits whose rows it has seen.

    Raises:
        TreadleError: the monitored metric is not a number.
    """
    train, valid = (_take(rows[split], experiment) for split in ("train", "valid"))
    loss = build_loss(experiment)
    file = EpochFile(folder.metrics_log, listen=log)
    file.clear()
    epochs = Epochs(train, valid, experiment=experiment, loss=loss, scaling=scaling, file=file)
    training = Training(
        find_objective(loss, experiment),
        featurizer.numeric_columns,
        seed=experiment.seed,
        threads=experiment.trainer.threads,
        watch=epochs.add,
    )
    estimator.fit(train, valid, training=training)
    summary = epochs.summarize()
    seen: list[Split] = ["train"]
    if is_refitted(experiment):
        folder.model.mkdir(parents=True, exist_ok=True)
        estimator.save(folder.model / estimator.FILE)
        together, seen = _take(join(rows), experiment), ["train", "valid"]
        num_rows, num_rounds = len(together.target), int(epochs.best["step"])
        write_line(f"{'refit':<10} on train and valid, {num_rows:,} rows, for {num_rounds:,} rounds")
        restart(estimator)
        estimator.fit(together, valid, training=replace(training, watch=_ignore))
        summary["refit"] = {"num_rows": num_rows, "num_rounds": num_rounds}
    torch.set_num_threads(experiment.trainer.threads)  # a library may have changed it
    if isinstance(estimator, LevelEstimators):
        write_line(f"{'sorted':<10} {100 * estimator.crossed:.2g} % of the valid rows, whose quantiles crossed")
    write_summary(folder, summary, kept=epochs.best)
    return seen


def _take(rows: Rows, experiment: Experiment) -> Batch:
    """All of them, or as many as the batches of a debug run hold."""
    limit = experiment.trainer.limit_batches
    return rows.take_first(limit * experiment.schedule.batch_size if limit else rows.num_rows)


def _ignore(*, rounds: int, train: Tensor, valid: Tensor) -> int:  # noqa: ARG001 - as `Watch`
    return rounds


def find_objective(loss: Loss, experiment: Experiment) -> Objective:
    """What an estimator minimises under a loss; `treadle check` has verified that it can."""
    task = experiment.data.answer
    name = pick_by_task(getattr(loss, "OBJECTIVE", None), task) or ""
    parameter = {"quantile": "quantile", "huber": "delta", "tweedie": "power"}.get(name)
    return Objective(task, name, None if parameter is None else getattr(loss, parameter), find_link(loss))


class Epochs:
    """Scores each epoch, which is some rounds; remembers the best."""

    def __init__(
        self, train: Batch, valid: Batch, *, experiment: Experiment, loss: Loss, scaling: Scaling, file: EpochFile
    ) -> None:
        self.train, self.valid = train, valid
        self.task, self.monitor = experiment.data.answer, experiment.schedule.monitor
        self.loss, self.scaling, self.file = loss, scaling, file
        metric = find_metric(experiment, self.monitor)
        assert metric is not None, "the check has verified schedule.monitor"
        self.sign = -1 if metric.higher_is_better else 1
        self.own = build_metrics(experiment)
        self.num_epochs = 0
        self.best: Mapping[str, float] = {}  # row of the best epoch
        self.last: Mapping[str, float] = {}

    def add(self, *, rounds: int, train: Tensor, valid: Tensor) -> int:
        """Score the predictions, write the row, and return the best number of rounds: see `Watch`."""
        own = self.train
        train_loss = compute_prediction_loss(train.float(), own.target, own.weight, loss=self.loss, task=self.task)
        scores = compute_scores(
            valid.float(),
            self.valid.target,
            self.valid.weight,
            loss=self.loss,
            task=self.task,
            scaling=self.scaling,
            own=self.own,
        )
        self.num_epochs += 1
        of_valid = {f"valid/{name}": value for name, value in scores.items()}
        self.last = {"epoch": self.num_epochs, "step": rounds, "train/loss": float(train_loss), **of_valid}
        if not self.best or self._is_better(scores[self.monitor]):
            self.best = self.last
        if self.num_epochs % SHOWN == 1:
            write_line(f"epoch {self.num_epochs:3d}  round {rounds:5d}  {show_scores(scores, monitor=self.monitor)}")
        self.file.add(self.last)
        return int(self.best["step"])

    def _is_better(self, found: float) -> bool:
        """Whether a score is better than the best; any number is better than none."""
        before = self.best[f"valid/{self.monitor}"]
        return self.sign * found < self.sign * before or (math.isnan(before) and not math.isnan(found))

    def summarize(self) -> dict[str, Any]:
        """The summary of the training.

        Raises:
            TreadleError: no epoch's score is a number.
        """
        score = self.best[f"valid/{self.monitor}"]
        if not math.isfinite(score):
            raise TreadleError(
                f"schedule.monitor: the validation {self.monitor} is {score} in every epoch; monitor another metric"
            )
        write_line(f"{'kept':<10} {self.best['step']:,.0f} of {self.last['step']:,.0f} rounds")
        return {
            "num_epochs": self.num_epochs,
            "num_steps": int(self.last["step"]),
            "monitor": self.monitor,
            "score": score,
        }
