"""What decisions are worth: by a gain for each outcome, at the threshold that the validation split says is best.

To act on a row gains `true_positive` or `false_positive`, to leave it alone `false_negative` or `true_negative`. All
values are means over rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from treadle.bundle.judged import load_judged
from treadle.errors import TreadleError
from treadle.evaluation.baselines import load_baselines
from treadle.evaluation.comparison import SEED, make_resampling
from treadle.evaluation.evaluated import MODEL, Evaluated, find_blocks
from treadle.evaluation.intervals import Array, Measured, estimate_means
from treadle.evaluation.parity import read_predictions
from treadle.evaluation.resampling import Blocks, Floats
from treadle.experiment.spec import Experiment
from treadle.experiment.spec.evaluation import OUTCOMES
from treadle.features.featurize import read_target
from treadle.pages.charts import Line, draw_chart
from treadle.schema import LABEL, Split

_FOLDS = 5  # of blocks of the validation split
_THRESHOLDS = 40  # of the curve, at quantiles of the predictions
_KEY = "evaluation.value"


@dataclass(frozen=True)
class Policy:
    """A way to decide: by a model and its threshold, or the same for every row."""

    name: str
    threshold: float | None  # act from this probability on; None: never
    acted: float  # share of the test rows
    value: Measured
    lead: Measured | None  # of the model over this policy, in pairs; None: it is the model


@dataclass(frozen=True)
class ValueFindings:
    """What the decisions on the test split are worth."""

    unit: str
    policies: Mapping[str, Policy]  # the model first
    cross_fitted: (
        float | None
    )  # value on the validation split, each fold by the threshold of the others; None: one block
    precision: Mapping[str, Measured]  # of the rows with the highest predictions, by their share
    curve: Sequence[tuple[float, Measured]]  # value of the model by threshold

    @property
    def model(self) -> Policy:
        """The model at the threshold that was chosen."""
        return self.policies[MODEL]

    @property
    def constant(self) -> Policy:
        """The better of never and always."""
        return max((self.policies[name] for name in ("never", "always")), key=lambda policy: policy.value.value)

    def draw(self) -> str:
        """The value by threshold, as SVG."""
        x, y = [threshold for threshold, _ in self.curve], [found.value for _, found in self.curve]
        low, high = ([getattr(found, end) for _, found in self.curve] for end in ("low", "high"))
        band = None if None in low else (low, high)
        chosen = self.model.threshold
        flat = [Line(name, [x[0], x[-1]], [self.policies[name].value.value] * 2) for name in ("never", "always")]
        lines = [Line(MODEL, x, y, marked=chosen if chosen in x else None, band=band), *flat]
        return draw_chart(title=f"Value by threshold [{self.unit} per row]", x="threshold", y="value", lines=lines)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "unit": self.unit,
            "policies": {
                one.name: {
                    "threshold": one.threshold,
                    "acted": one.acted,
                    "value": one.value.to_plain(),
                    "lead": None if one.lead is None else one.lead.to_plain(),
                }
                for one in self.policies.values()
            },
            "cross_fitted": self.cross_fitted,
            "precision": {share: found.to_plain() for share, found in self.precision.items()},
            "curve": [{"threshold": threshold, **found.to_plain()} for threshold, found in self.curve],
        }

    def to_numbers(self) -> dict[str, float]:
        """The model's value, its lead over the better of never and always, its threshold, and its precisions."""
        lead = self.constant.lead
        assert lead is not None, "it is not the model"
        chosen = self.model.threshold
        return {
            "value": self.model.value.value,
            "lead": lead.value,
            "threshold": math.nan if chosen is None else chosen,
            **{f"precision_at_{share}": found.value for share, found in self.precision.items()},
        }


@dataclass(frozen=True)
class Rows:
    """The rows of a split: what acting and leaving them alone gains, and how probable a positive one is."""

    acting: Floats  # `[B]`
    leaving: Floats  # `[B]`
    chances: Mapping[str, Array]  # `[B]` by model
    target: Array  # `[B]`
    blocks: Blocks

    def decide(self, name: str, threshold: float | None) -> Floats:
        """`[B]` what the decisions by a model and its threshold gain."""
        acts = np.zeros(len(self.target), dtype=bool) if threshold is None else self.chances[name] >= threshold
        return np.where(acts, self.acting, self.leaving)


def find_value(evaluated: Evaluated) -> ValueFindings | None:
    """What the decisions are worth; None if `evaluation.value` is null."""
    if evaluated.experiment.evaluation.value is None:
        return None
    return judge_value(_read_valid(evaluated), _read_test(evaluated), experiment=evaluated.experiment)


def judge_value(valid: Rows, test: Rows, *, experiment: Experiment) -> ValueFindings:
    """What the decisions on the test rows are worth, by thresholds that are chosen on the validation rows."""
    settings = experiment.evaluation.value
    assert settings is not None, "asked for"
    advantage = valid.acting - valid.leaving  # baselines that only remember predict no validation rows
    thresholds = {name: find_threshold(c, advantage) for name, c in valid.chances.items() if name in test.chances}
    made = {name: (threshold, test.decide(name, threshold)) for name, threshold in thresholds.items()}
    made |= {"never": (None, test.leaving), "always": (0.0, test.acting)}
    model = made[MODEL][1]
    values = _measure(np.stack([value for _, value in made.values()], axis=1), test.blocks, experiment)
    leads = _measure(np.stack([model - value for _, value in made.values()], axis=1), test.blocks, experiment)
    policies = {
        name: Policy(
            name,
            threshold,
            float((test.chances.get(name, test.chances[MODEL]) >= threshold).mean()) if threshold is not None else 0.0,
            value,
            None if name == MODEL else lead,
        )
        for (name, (threshold, _)), value, lead in zip(made.items(), values, leads, strict=True)
    }
    return ValueFindings(
        settings.unit,
        policies,
        _cross_fit(valid),
        {f"{share:g}": _find_precision(test, share, experiment) for share in settings.top},
        list(_trace(test, thresholds[MODEL], experiment)),
    )


def find_threshold(chances: Array, advantage: Floats) -> float | None:
    """The probability from which on acting gains most; None where it is best never to act.

    Args:
        chances: `[B]` probability of a positive row.
        advantage: `[B]` what acting gains over leaving the row alone.

    >>> find_threshold(np.array([0.9, 0.8, 0.3, 0.1]), np.array([5.0, -1.0, 2.0, -4.0]))
    0.3
    """
    order = np.argsort(-chances, kind="stable")
    falling = chances[order]
    sums = np.cumsum(advantage[order])
    is_last = np.append(falling[1:] < falling[:-1], True)  # rows of equal probability are decided alike
    totals = np.where(is_last, sums, -np.inf)
    best = int(totals.argmax())
    return float(falling[best]) if totals[best] > 0 else None


def _cross_fit(valid: Rows) -> float | None:
    """The value of choosing a threshold: of each fold of blocks by the threshold of the others; None of one block."""
    if valid.blocks.count < 2:  # noqa: PLR2004 - others
        return None
    folds = np.random.default_rng(SEED).permutation(valid.blocks.count)[valid.blocks.codes] % _FOLDS
    chances, gained = valid.chances[MODEL], 0.0
    for fold in range(_FOLDS):
        held = folds == fold
        threshold = find_threshold(chances[~held], (valid.acting - valid.leaving)[~held])
        gained += float(valid.decide(MODEL, threshold)[held].sum())
    return gained / len(folds)


def _measure(columns: Floats, blocks: Blocks, experiment: Experiment) -> list[Measured]:
    """The mean of each column `[B, k]` with its interval."""
    found = estimate_means(columns, blocks=blocks, resampling=make_resampling(experiment))
    return [
        Measured(float(mean), None, None) if one is None else Measured(one.value, one.low, one.high)
        for mean, one in zip(columns.mean(axis=0), found, strict=True)
    ]


def _find_precision(test: Rows, share: float, experiment: Experiment) -> Measured:
    """The share of positive rows among those with the highest predictions; all rows as high as the last are taken."""
    chances = test.chances[MODEL]
    count = max(1, round(share * len(chances)))
    taken = chances >= np.partition(chances, -count)[-count]
    return _measure(test.target[taken, None].astype(np.float64), test.blocks.take(taken), experiment)[0]


def _trace(test: Rows, chosen: float | None, experiment: Experiment) -> Iterator[tuple[float, Measured]]:
    chances = test.chances[MODEL].astype(np.float64)
    levels = np.quantile(chances, np.linspace(0, 1, _THRESHOLDS))
    levels = np.unique(np.append(levels, [] if chosen is None else [chosen]))
    gained = [np.where(chances >= level, test.acting, test.leaving) for level in levels]
    yield from zip(levels.tolist(), _measure(np.stack(gained, axis=1), test.blocks, experiment), strict=True)


def _read_test(evaluated: Evaluated) -> Rows:
    chances = {name: values.numpy() for name, values in evaluated.predictions.items()}
    return Rows(*read_gains(evaluated, "test"), chances, evaluated.target.numpy(), evaluated.blocks)


def _read_valid(evaluated: Evaluated) -> Rows:
    """The validation rows, as the weights predict them that have not been trained on them."""
    experiment, rows = evaluated.experiment, evaluated.read_rows("valid")
    frame = rows.collect()
    bundle = load_judged(evaluated.folder.path, targets=experiment.targets)
    predicted = {MODEL: read_predictions(bundle.predict(frame, on_breach="allow"), bundle)}
    if len(evaluated.predictions) > 1:
        inputs = evaluated.featurizer(frame)
        fitted = load_baselines(experiment, folder=evaluated.folder)
        predicted |= {name: torch.as_tensor(baseline.predict(inputs)) for name, baseline in fitted.items()}
    chances = {name: values.numpy() for name, values in predicted.items()}
    target = read_target(frame.select(LABEL), classes=bundle.classes).numpy()
    return Rows(*read_gains(evaluated, "valid"), chances, target, find_blocks(rows, experiment))


def read_gains(evaluated: Evaluated, split: Split) -> tuple[Floats, Floats]:
    """`[B]` what acting gains, and what leaving a row alone gains."""
    settings = evaluated.experiment.evaluation.value
    assert settings is not None, "asked for"
    expressions = {name: str(getattr(settings, name)) for name in OUTCOMES}
    gains = evaluated.compute(expressions, split=split, key=_KEY)
    for name, values in gains.to_dict().items():
        if values.null_count() or not values.cast(pl.Float64).is_finite().all():
            fix = "give one by COALESCE, or put bounds into the contract"
            raise TreadleError(f"{_KEY}.{name}: {expressions[name]!r} has no finite value for some {split} rows; {fix}")
    positive = evaluated.read_rows(split).select(pl.col(LABEL).cast(pl.Float64) > 0).collect().to_series().to_numpy()
    found = {name: gains[name].cast(pl.Float64).to_numpy() for name in OUTCOMES}
    return (
        np.where(positive, found["true_positive"], found["false_positive"]),
        np.where(positive, found["false_negative"], found["true_negative"]),
    )
