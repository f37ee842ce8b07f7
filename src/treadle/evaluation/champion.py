"""The champion as a baseline: what another bundle predicts of the test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from torch import Tensor

from treadle.bundle import Predictor, load, predict_split
from treadle.errors import TreadleError
from treadle.evaluation.parity import read_predictions
from treadle.experiment.source_bundles import require_source
from treadle.experiment.spec import Experiment

CHAMPION = "champion"  # its name among the results
_KEY = "evaluation.champion"


@dataclass(frozen=True)
class ByChampion:
    """What the champion says of the test rows."""

    prediction: Tensor  # `[B]`, or `[B, K]` for K classes or labels
    thresholds: Sequence[float]  # of each label, which its bundle has learned; none: that of the experiment


def predict_champion(
    experiment: Experiment, test: pl.LazyFrame, *, like: Predictor, champion: Path | None
) -> ByChampion | None:
    """Its predictions of the test rows; None if `evaluation.champion` is null.

    Args:
        experiment: checked.
        test: the rows of the test split.
        like: the bundle that is evaluated.
        champion: folder of the bundle.

    Raises:
        TreadleError: it is another bundle than the one that the experiment was composed with, predicts other classes,
            or cannot predict these rows.
    """
    text = experiment.evaluation.champion
    if text is None or champion is None:
        return None
    require_source(text, champion, key=_KEY)
    bundle = load(champion, targets=experiment.targets, code="any")
    if (bundle.task, bundle.classes) != (like.task, like.classes):
        rule = f"it predicts {bundle.task} {bundle.classes or ''}, this model {like.task} {like.classes or ''}"
        raise TreadleError(f"{_KEY}: {champion}: {rule.replace('  ', ' ')}; name another, or set it to null")
    try:
        predicted = predict_split(bundle, test)
    except TreadleError as error:
        raise TreadleError(f"{_KEY}: {champion} cannot predict the test rows: {error}; set it to null") from error
    return ByChampion(read_predictions(predicted, bundle), bundle.card.thresholds)
