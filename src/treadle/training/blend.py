"""The stage `train` of a blend: from the bundles of its members to their weights, and to one bundle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any

import polars as pl
import torch
from torch import Tensor

from treadle.bundle import BlendBundle, Bundle, Predictor, Recipe, load, load_judged, mix, save
from treadle.errors import TreadleError
from treadle.experiment.members import count_folds, list_runs
from treadle.experiment.run_folder import JUDGED, RunFolder
from treadle.experiment.spec import Blend, Experiment, RandomFolds
from treadle.metrics.own import Measure, build_metrics
from treadle.metrics.registry import find_metric
from treadle.schema import SPLITS
from treadle.tasks import TRAITS
from treadle.training.calibrate import learn_from_valid, learns_from_valid, open_valid
from treadle.training.card import make_card
from treadle.training.epochs import EpochFile, EpochLog, write_summary
from treadle.training.losses import Loss, build_loss
from treadle.training.rows import open_rows
from treadle.training.scaling import Scaling
from treadle.training.scores import compute_prediction_loss, compute_scores
from treadle.training.selection import Selection, select

NUM_RESAMPLES = 100  # of the validation rows, for the spread of a loss
SPREAD_SEED = 0  # of the resamples


def blend(experiment: Experiment, *, folder: RunFolder, members: Mapping[str, RunFolder], log: EpochLog) -> None:
    """Weigh the members by the validation rows; write `folder.bundle`, `folder.model` and `folder.metrics_log`.

    Where members are trained on several folds, these rows are those of all folds, each predicted out of its fold. A
    member of weight 0 is left out of the bundle.

    Args:
        experiment: checked.
        folder: of the run, with its examples and features.
        members: the runs of each member, with their bundles.
        log: takes each round of the selection, as it takes an epoch of a training.

    Raises:
        TreadleError: no member's score is a number.
    """
    assert isinstance(experiment.model, Blend)
    torch.set_num_threads(experiment.trainer.threads)
    bundles = {name: load(run.bundle, targets=experiment.targets) for name, run in members.items()}
    runs = list_runs(experiment)
    folds = count_folds(experiment)
    judging = [folder] if folds is None else [members[name] for name in next(iter(runs.values()))]
    classes = read_classes(judging)
    judge = Judge.open(experiment, folders=judging, classes=classes)
    frames = [open_valid(experiment, one).collect() for one in judging]
    judged = {name: load_judged(run.path, targets=experiment.targets) for name, run in members.items()}
    raw = {name: _predict([judged[run] for run in own], frames) for name, own in runs.items()}
    predictions = {name: judge.scale(values) for name, values in raw.items()}
    found = select(predictions, score=judge.score, rounds=experiment.model.rounds)
    kept = _write_rounds(found, predictions, judge=judge, file=EpochFile(folder.metrics_log, listen=log))
    summary = _summarize(experiment, found, predictions, kept=kept, judge=judge, members=members)
    write_summary(folder, summary, kept=kept)
    weights = {run: weight / len(runs[name]) for name, weight in found.weights.items() for run in runs[name]}
    seen = {split for run in weights for split in bundles[run].card.trained_on}
    if folds is not None:  # what validates one fold trains the others
        seen |= {"train", "valid"}
    card = make_card(
        experiment,
        folder=folder,
        classes=classes,
        scaling=judge.scaling,
        loss=judge.loss,
        trained_on=[split for split in SPLITS if split in seen],
        code={},  # each member records its own
        members=weights,
    )
    if learns_from_valid(experiment):
        once = frames[: _count_pass(experiment, frames)]
        mixed = mix(raw, found.weights)[: sum(map(len, once))]
        card = learn_from_valid(card, mixed, pl.concat(once).lazy(), experiment)
    recipe = Recipe.take(experiment)
    save(BlendBundle(card, recipe, _keep(bundles, weights)), folder.bundle)
    if folds is None and "valid" in seen:  # by members that were refitted; of folds each has one that has not seen it
        as_judged = card.model_copy(update={"trained_on": ["train"]})
        save(BlendBundle(as_judged, recipe, _keep(judged, weights)), folder.model / JUDGED)


def _write_rounds(
    found: Selection, predictions: Mapping[str, Tensor], *, judge: Judge, file: EpochFile
) -> Mapping[str, float]:
    """Write a row for each round of the selection, as a training does for each epoch; returns that of the best."""
    file.clear()
    rows = [judge.make_row(mix(predictions, found.weigh(count)), count) for count in range(1, len(found.picks) + 1)]
    for row in rows:
        file.add(row)
    return rows[found.best_round - 1]


def _count_pass(experiment: Experiment, folds: Sized) -> int:
    """How many folds hold each row once: what is repeated is no further evidence of how far predictions are off."""
    split = experiment.data.split
    return split.folds if isinstance(split, RandomFolds) and len(folds) > 1 else len(folds)


def read_classes(folders: Sequence[RunFolder]) -> list[str]:
    """The classes that the training splits of all folds hold.

    Raises:
        TreadleError: they differ.
    """
    found: list[list[str]] = [json.loads((one.features / "inputs.json").read_text())["classes"] for one in folders]
    for fold, classes in enumerate(found):
        if classes != found[0]:
            differing = ", ".join(sorted(set(classes) ^ set(found[0])))
            rule = f"the training rows of fold 0 and of fold {fold} do not hold the same classes: {differing}"
            raise TreadleError(f"model.folds: {rule}; split by stratified_kfold, or set model.folds=one")
    return found[0]


def _predict(bundles: Sequence[Predictor], frames: Sequence[pl.DataFrame]) -> Tensor:
    """The predictions of rows by the models that were not trained on them, one a fold."""
    pairs = zip(bundles, frames, strict=True)
    return torch.cat([bundle.compute(bundle.conform(frame)) for bundle, frame in pairs])


@dataclass(frozen=True)
class Judge:
    """The validation rows, and by what predictions of them are scored."""

    experiment: Experiment
    target: Tensor  # `[B]`, scaled
    weight: Tensor  # `[B]`
    num_rows: int  # different ones, the first: folds that are repeated hold the same rows again
    scaling: Scaling
    loss: Loss
    own: Mapping[str, Measure]  # metrics of the user's

    @classmethod
    def open(cls, experiment: Experiment, *, folders: Sequence[RunFolder], classes: list[str]) -> Judge:
        """Read the targets as a training of this experiment has them; of several folds on the scale of the first."""
        targets: list[Tensor] = []
        weights: list[Tensor] = []
        scalings: list[Scaling] = []
        for folder in folders:
            rows, scaling = open_rows(folder.features, experiment, classes=classes)
            target, weight = (torch.cat(part) for part in zip(*rows["valid"].read_targets(), strict=True))
            first = scalings[0] if scalings else scaling
            if (scaling.mean, scaling.scale) != (first.mean, first.scale):
                own = target.double() * scaling.scale + scaling.mean
                target = ((own - first.mean) / first.scale).to(target.dtype)
            targets.append(target)
            weights.append(weight)
            scalings.append(scaling)
        num_rows = sum(map(len, targets[: _count_pass(experiment, folders)]))
        whole = torch.cat(targets), torch.cat(weights)
        return cls(experiment, *whole, num_rows, scalings[0], build_loss(experiment), build_metrics(experiment))

    def scale(self, prediction: Tensor) -> Tensor:
        """Predictions on the scale of the targets."""
        if not TRAITS[self.experiment.data.answer].is_value:
            return prediction
        return (prediction - self.scaling.mean) / self.scaling.scale

    def score(self, prediction: Tensor) -> float:
        """The monitored metric, negative where more is better."""
        monitor = self.experiment.schedule.monitor
        if monitor == "loss":
            return self.measure_loss(prediction, self.weight)
        metric = find_metric(self.experiment, monitor)
        assert metric is not None, "the check has verified schedule.monitor"
        return self.compute(prediction)[monitor] * (-1 if metric.higher_is_better else 1)

    def measure_loss(self, prediction: Tensor, weight: Tensor) -> float:
        """The mean loss by these weights of the rows."""
        task = self.experiment.data.answer
        return float(compute_prediction_loss(prediction.float(), self.target, weight, loss=self.loss, task=task))

    def compute(self, prediction: Tensor) -> dict[str, float]:
        """Loss and metrics."""
        return compute_scores(
            prediction.float(),
            self.target,
            self.weight,
            loss=self.loss,
            task=self.experiment.data.answer,
            scaling=self.scaling,
            own=self.own,
        )

    def make_row(self, prediction: Tensor, count: int) -> dict[str, float]:
        """The row of `metrics.csv` of a round of the selection."""
        of_valid = {f"valid/{name}": value for name, value in self.compute(prediction).items()}
        return {"epoch": float(count), "step": float(count), **of_valid}

    def measure_spread(self, prediction: Tensor) -> float:
        """The standard error of the loss, by bootstrap over the rows."""
        generator = torch.Generator().manual_seed(SPREAD_SEED)
        size = len(self.target)
        draws = (torch.randint(self.num_rows, (self.num_rows,), generator=generator) for _ in range(NUM_RESAMPLES))
        losses = [self.measure_loss(prediction, self.weight * torch.bincount(d, minlength=size)) for d in draws]
        return float(torch.tensor(losses).std())


def _keep(bundles: Mapping[str, Predictor], weights: Mapping[str, float]) -> dict[str, Bundle]:
    kept = {}
    for name in weights:
        bundle = bundles[name]
        assert isinstance(bundle, Bundle), "a member is no blend"
        kept[name] = replace(bundle, card=bundle.card.model_copy(update={"calibration": None, "conformal": None}))
    return kept


def _summarize(
    experiment: Experiment,
    found: Selection,
    predictions: Mapping[str, Tensor],
    *,
    kept: Mapping[str, float],
    judge: Judge,
    members: Mapping[str, RunFolder],
) -> dict[str, Any]:
    """The summary of a training; `members` tells what was tried: its weight, its scores, and what it took."""
    monitor, weights = experiment.schedule.monitor, found.weights
    score = kept[f"valid/{monitor}"]
    if not math.isfinite(score):
        raise TreadleError(f"schedule.monitor: the validation {monitor} of every member is {score}; monitor another")
    runs = list_runs(experiment)
    trainings = {name: json.loads((run.model / "summary.json").read_text()) for name, run in members.items()}
    return {
        "num_epochs": len(found.picks),
        "num_steps": sum(training["num_steps"] for training in trainings.values()),
        "num_parameters": sum(  # of networks
            trainings[run].get("num_parameters", 0) for name in weights for run in runs[name]
        ),
        "monitor": monitor,
        "score": score,
        "members": {
            name: {
                "weight": weights.get(name, 0.0),
                "score": judge.compute(values)[monitor],
                "loss": judge.measure_loss(values, judge.weight),
                "loss_spread": judge.measure_spread(values),
                "best_epoch": median_low(trainings[run]["best_epoch"] for run in runs[name]),
                "num_steps": sum(trainings[run]["num_steps"] for run in runs[name]),
            }
            for name, values in predictions.items()
        },
    }
