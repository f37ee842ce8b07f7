"""Read what the rows of a run have at stake, and judge the decisions about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from treadle.bundle import predict_split
from treadle.bundle.judged import load_judged
from treadle.data.lazy_frames import derive
from treadle.errors import TreadleError
from treadle.evaluation.baselines import predict_baselines
from treadle.evaluation.evaluated import MODEL, Evaluated, find_blocks, read_parts
from treadle.evaluation.intervals import Array
from treadle.evaluation.parity import read_predictions
from treadle.evaluation.resampling import Blocks, Floats
from treadle.evaluation.value.by_class import ByClass
from treadle.evaluation.value.findings import ValueFindings
from treadle.evaluation.value.judge import judge_value
from treadle.evaluation.value.number import Numbers
from treadle.evaluation.value.outcomes import Outcomes
from treadle.evaluation.value.stakes import Stakes
from treadle.experiment.spec.value import PREDICTION, DecisionValue, NumberValue, OutcomeValue
from treadle.features.featurize import read_target
from treadle.schema import LABEL, Split
from treadle.sql.expressions import list_columns

_KEY = "evaluation.value"


@dataclass(frozen=True)
class Predicted:
    """The rows of a split as each model predicts them."""

    split: Split
    predictions: Mapping[str, Array]  # `[B]`, or `[B, K]`, by model
    target: Array  # `[B]`
    blocks: Blocks


def find_value(evaluated: Evaluated) -> ValueFindings | None:
    """What the decisions are worth; None if `evaluation.value` is null."""
    settings = evaluated.experiment.evaluation.value
    if settings is None:
        return None
    valid, test = (_read_stakes(evaluated, rows) for rows in (_predict_valid(evaluated), _take_test(evaluated)))
    top = settings.top if isinstance(settings, OutcomeValue) else ()
    return judge_value(valid, test, experiment=evaluated.experiment, top=top)


def _take_test(evaluated: Evaluated) -> Predicted:
    predictions = {name: values.numpy() for name, values in evaluated.predictions.items()}
    return Predicted("test", predictions, evaluated.target.numpy(), evaluated.blocks)


def _predict_valid(evaluated: Evaluated) -> Predicted:
    """The validation rows, as the weights predict them that have not been trained on them."""
    experiment, rows = evaluated.experiment, evaluated.read_rows("valid")
    bundle = load_judged(evaluated.folder.path, targets=experiment.targets)
    predicted = {MODEL: read_predictions(predict_split(bundle, rows), bundle)}
    predicted |= predict_baselines(experiment, read_parts(rows), folder=evaluated.folder)
    target = read_target(rows.select(LABEL).collect(), classes=bundle.classes).numpy()
    predictions = {name: values.numpy() for name, values in predicted.items()}
    return Predicted("valid", predictions, target, find_blocks(rows, experiment))


def _read_stakes(evaluated: Evaluated, rows: Predicted) -> Stakes:
    settings = evaluated.experiment.evaluation.value
    return _READERS[type(settings)](evaluated, rows, settings)


def read_outcomes(evaluated: Evaluated, rows: Predicted, settings: OutcomeValue) -> Outcomes:
    """Gains of the four outcomes, as acting and leaving alone gain them."""
    gains = _compute_gains(evaluated, settings, split=rows.split)
    positive = rows.target > 0
    acting = np.where(positive, gains["true_positive"], gains["false_positive"])
    leaving = np.where(positive, gains["false_negative"], gains["true_negative"])
    return Outcomes(acting, leaving, rows.predictions, rows.target, rows.blocks)


def read_by_class(evaluated: Evaluated, rows: Predicted, settings: DecisionValue) -> ByClass:
    """Gains of each decision by each class.

    Raises:
        TreadleError: a decision has no gain for a class of the data.
    """
    classes, labels = evaluated.bundle.classes, evaluated.read_rows(rows.split).select(LABEL).collect().to_series()
    for decision, by_class in settings.decisions.items():
        needed = dict.fromkeys([*classes, *labels.unique(maintain_order=True).to_list()])
        if missing := [name for name in needed if name not in by_class]:
            key = f"{_KEY}.decisions.{decision}"
            raise TreadleError(f"{key}: no gain for the classes {', '.join(missing)}; it has {', '.join(by_class)}")
    gains = _compute_gains(evaluated, settings, split=rows.split)
    truth = labels.to_numpy()
    gained, expected = [], []
    for decision, by_class in settings.decisions.items():
        own = {name: gains[f"decisions.{decision}.{name}"] for name in by_class}
        gained.append(np.select([truth == name for name in own], list(own.values())))
        expected.append(np.stack([own[name] for name in classes], axis=1))
    decisions = list(settings.decisions)
    return ByClass(decisions, np.stack(expected, axis=1), np.stack(gained, axis=1), rows.predictions, rows.blocks)


def read_numbers(evaluated: Evaluated, rows: Predicted, settings: NumberValue) -> Numbers:
    """The gain as a function of what is decided."""
    names = [name for name in list_columns(settings.gain) if name not in settings.reads]
    target = rows.target.astype(np.float64)
    columns = pl.DataFrame({LABEL: target})
    if names:
        columns = columns.with_columns(evaluated.read_columns(names, split=rows.split).get_columns())

    def gain(decided: Floats) -> Floats:
        frame = columns.lazy().with_columns(pl.Series(PREDICTION, decided))
        values = derive(frame, {"gain": settings.gain}, key=_KEY).select("gain").collect().to_series()
        return _require_finite(values, key="gain", text=settings.gain, split=rows.split)

    return Numbers(gain, settings.adjust, rows.predictions, target, rows.blocks)


_READERS: Mapping[type, Callable[[Evaluated, Predicted, Any], Stakes]] = {
    OutcomeValue: read_outcomes,
    DecisionValue: read_by_class,
    NumberValue: read_numbers,
}


def _compute_gains(
    evaluated: Evaluated, settings: OutcomeValue | DecisionValue, *, split: Split
) -> Mapping[str, Floats]:
    """`[B]` each gain, by its key."""
    expressions = {name: str(gain) for name, gain in settings.list_gains().items()}
    found = evaluated.compute(expressions, split=split, key=_KEY)
    return {name: _require_finite(found[name], key=name, text=text, split=split) for name, text in expressions.items()}


def _require_finite(values: pl.Series, *, key: str, text: str, split: Split) -> Floats:
    numbers = values.cast(pl.Float64)
    if numbers.null_count() or not numbers.is_finite().all():
        fix = "give one by COALESCE, or put bounds into the contract"
        raise TreadleError(f"{_KEY}.{key}: {text!r} has no finite value for some {split} rows; {fix}")
    found: Floats = numbers.to_numpy()
    return found
