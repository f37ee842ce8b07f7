"""What a model learns from the validation split once it is trained.

The calibration of its probabilities, the thresholds of its labels, and how wide its intervals, or how large its sets
must be.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from treadle.bundle import Card
from treadle.bundle.calibration import ByLabel, Isotonic, Temperature, calibrate
from treadle.bundle.conformal import Band, Sets, Span
from treadle.data.blocks import rank_blocks
from treadle.errors import TreadleError
from treadle.experiment.blocks import settle_blocks
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Conformal, Experiment
from treadle.experiment.spec.evaluation import CALIBRATION_ROWS
from treadle.features.featurize import read_target
from treadle.schema import LABEL
from treadle.tasks import TRAITS
from treadle.training.calibrators import FITS, FOLDS, Array, Floats, choose, cross_fit
from treadle.training.conform import fit_band, fit_sets, fit_span
from treadle.training.epochs import write_line
from treadle.training.thresholds import find_thresholds

_SEED = 0  # of the folds


def learns_from_valid(experiment: Experiment) -> bool:
    """Whether the validation split teaches the bundle anything."""
    settings = experiment.evaluation
    return settings.calibrate != "none" or settings.conformal is not None or settings.decide_by == "f1"


def open_valid(experiment: Experiment, folder: RunFolder) -> pl.LazyFrame:
    """The rows that a training of this experiment is validated on."""
    num_overfit, batch_size = experiment.trainer.overfit_batches, experiment.schedule.batch_size
    if num_overfit is not None:
        return pl.scan_parquet(folder.examples / "train.parquet").head(num_overfit * batch_size)
    return pl.scan_parquet(folder.examples / "valid.parquet")


def learn_from_valid(card: Card, raw: Tensor, rows: pl.LazyFrame, experiment: Experiment) -> Card:
    """The card with what the validation split teaches.

    Args:
        card: of the bundle.
        raw: `[B]`, or `[B, K]`, predictions of weights that have not seen these rows.
        rows: of the validation split.
        experiment: checked.

    Raises:
        TreadleError: there are too few rows, or all are of one class.
    """
    target = read_target(rows.select(LABEL).collect(), classes=card.classes)
    unit = settle_blocks("auto", experiment.data)
    blocks = rank_blocks(rows, unit)
    if experiment.evaluation.calibrate != "none" and not TRAITS[card.task].is_value:
        calibrate_by = _calibrate_labels if card.task == "multilabel" else _calibrate_known
        found = calibrate_by(raw, target, blocks=blocks, keeps_order=unit.kind == "period", experiment=experiment)
        card = card.model_copy(update={"calibration": found})
    if experiment.evaluation.decide_by == "f1":
        chances = calibrate(raw, card.calibration).double().numpy()
        card = card.model_copy(update={"thresholds": find_thresholds(chances, target.numpy())})
    settings = experiment.evaluation.conformal
    if settings is not None:
        outputs = calibrate(raw, card.calibration).double().numpy()
        conformal = _conform(outputs, target.numpy(), blocks=blocks, card=card, settings=settings)
        card = card.model_copy(update={"conformal": conformal})
    return card


def _calibrate_known(
    raw: Tensor, target: Tensor, *, blocks: Array, keeps_order: bool, experiment: Experiment
) -> Temperature | Isotonic | None:
    """Of one positive class, or of several classes; rows of a class that training never saw are left out."""
    known = target.numpy() >= 0
    return _calibrate(
        raw.double().numpy()[known],
        target.numpy()[known].astype(np.int64),
        blocks=np.unique(blocks[known], return_inverse=True)[1],
        keeps_order=keeps_order,
        experiment=experiment,
    )


def _calibrate_labels(
    raw: Tensor, target: Tensor, *, blocks: Array, keeps_order: bool, experiment: Experiment
) -> ByLabel | None:
    """Of several labels each by itself; None where none gains."""
    found = []
    for place, key in enumerate(experiment.data.examples.labels):
        write_line(f"{'label':<10} {key}")
        own = (raw[:, place], target[:, place])
        try:
            found.append(_calibrate_known(*own, blocks=blocks, keeps_order=keeps_order, experiment=experiment))
        except TreadleError as error:
            raise TreadleError(f"{key}: {error}") from error
    return ByLabel(labels=found) if any(one is not None for one in found) else None


def _conform(outputs: Floats, target: Array, *, blocks: Array, card: Card, settings: Conformal) -> Span | Band | Sets:
    if not TRAITS[card.task].is_value:
        return fit_sets(outputs, target.astype(np.int64), coverage=settings.coverage, by_class=settings.by_class)
    if card.target.levels:
        return fit_band(outputs, target, coverage=settings.coverage)
    least = 0.0 if card.target.link == "log" else None
    return fit_span(outputs, target, blocks=blocks, coverage=settings.coverage, least=least)


def _calibrate(
    chances: Floats, target: Array, *, blocks: Array, keeps_order: bool, experiment: Experiment
) -> Temperature | Isotonic | None:
    method = experiment.evaluation.calibrate
    if method != "auto":
        require_calibration(target, experiment)
        return FITS[method](chances, target)
    too_few = _find_lack(target)
    if len(np.unique(blocks)) == 1:
        too_few = too_few or "the rows of the validation split are one block, which leaves none to judge by"
    if too_few:
        write_line(f"{'calibrated':<10} not: {too_few}")
        return None
    losses = cross_fit(chances, target, folds=make_folds(blocks, keeps_order=keeps_order))
    chosen = choose(losses, blocks=blocks)
    means = {name: float(values.mean()) for name, values in losses.items()}
    shown = ", ".join(f"{name} {mean:.5f}" for name, mean in means.items())
    write_line(f"{'calibrated':<10} by {chosen}; cross-fitted valid log loss: {shown}")
    return None if chosen == "none" else FITS[chosen](chances, target).model_copy(update={"losses": means})


def require_calibration(target: Array, experiment: Experiment) -> None:
    """Check that the calibration that is named can be fitted to rows of the validation split.

    Raises:
        TreadleError: they are too few, or all of one class.
    """
    method, lack = experiment.evaluation.calibrate, _find_lack(target)
    if method not in {"none", "auto"} and lack:
        rule = f"{method} cannot be fitted: {lack}"
        raise TreadleError(f"evaluation.calibrate: {rule}; set it to auto, which leaves it out then, or to none")


def _find_lack(target: Array) -> str:
    """Why nothing can be learned; empty where it can."""
    if len(target) < CALIBRATION_ROWS:
        return f"the validation split has {len(target)} rows, fewer than {CALIBRATION_ROWS}"
    if len(np.unique(target)) == 1:
        return "all rows of the validation split are of one class"
    return ""


def make_folds(blocks: Array, *, keeps_order: bool) -> NDArray[np.int64]:
    """`[B]` fold of each row: of blocks that follow each other in time stretches, of others a random part."""
    count = int(blocks.max()) + 1
    order = np.arange(count) if keeps_order else np.random.default_rng(_SEED).permutation(count)
    folds: NDArray[np.int64] = (order * FOLDS // count)[blocks]
    return folds
