"""Judge decisions on the test rows, by settings that are chosen on the validation rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle.evaluation.comparison import SEED, make_resampling
from treadle.evaluation.evaluated import MODEL
from treadle.evaluation.intervals import Measured, estimate_means
from treadle.evaluation.resampling import Blocks, Floats
from treadle.evaluation.value.findings import Policy, ValueFindings
from treadle.evaluation.value.stakes import Stakes
from treadle.experiment.spec import Experiment

_FOLDS = 5  # of blocks of the validation split


def judge_value(valid: Stakes, test: Stakes, *, experiment: Experiment, top: Sequence[float] = ()) -> ValueFindings:
    """What the decisions on the test rows are worth: the mean over rows, with intervals over blocks.

    Args:
        valid: the validation rows, on which settings are chosen.
        test: the test rows.
        experiment: says in which unit, and how intervals are made.
        top: shares of the rows with the highest predictions whose precision is told.
    """
    settings = experiment.evaluation.value
    assert settings is not None, "asked for"
    # Baselines that only remember predict no rows of the validation split.
    known = [name for name in valid.predictions if name in test.predictions]
    chosen = {name: valid.choose(name) for name in [*known, *test.constants]}
    made = {name: test.decide(name, setting) for name, setting in chosen.items()}
    model = made[MODEL].gains
    values = _measure(np.stack([one.gains for one in made.values()], axis=1), test.blocks, experiment)
    leads = _measure(np.stack([model - one.gains for one in made.values()], axis=1), test.blocks, experiment)
    policies = {
        name: Policy(name, chosen[name], one.shares, value, None if name == MODEL else lead)
        for (name, one), value, lead in zip(made.items(), values, leads, strict=True)
    }
    levels = list(test.list_settings(chosen[MODEL]))
    gained = [test.decide(MODEL, level).gains for level in levels]
    curve = zip(levels, _measure(np.stack(gained, axis=1), test.blocks, experiment), strict=True) if levels else ()
    precision = {f"{share:g}": _find_precision(test, share, experiment) for share in top}
    return ValueFindings(
        settings.unit,
        test.words,
        policies,
        test.constants,
        _cross_fit(valid),
        {share: found for share, found in precision.items() if found is not None},
        list(curve),
    )


def _cross_fit(valid: Stakes) -> float | None:
    """The value of choosing a setting: of each fold of blocks by the setting of the others; None of one block."""
    if valid.blocks.count < 2 or valid.words.setting is None:  # noqa: PLR2004 - others
        return None
    folds = np.random.default_rng(SEED).permutation(valid.blocks.count)[valid.blocks.codes] % _FOLDS
    gained = 0.0
    for fold in range(_FOLDS):
        held = folds == fold
        gained += float(valid.decide(MODEL, valid.choose(MODEL, ~held)).gains[held].sum())
    return gained / len(folds)


def _measure(columns: Floats, blocks: Blocks, experiment: Experiment) -> list[Measured]:
    """The mean of each column `[B, k]` with its interval."""
    found = estimate_means(columns, blocks=blocks, resampling=make_resampling(experiment))
    return [
        Measured(float(mean), None, None) if one is None else Measured(one.value, one.low, one.high)
        for mean, one in zip(columns.mean(axis=0), found, strict=True)
    ]


def _find_precision(test: Stakes, share: float, experiment: Experiment) -> Measured | None:
    """The share of positive rows among those with the highest predictions; all rows as high as the last are taken."""
    found = test.find_highest(share)
    if found is None:
        return None
    positive, taken = found
    return _measure(positive[taken, None].astype(np.float64), test.blocks.take(taken), experiment)[0]
