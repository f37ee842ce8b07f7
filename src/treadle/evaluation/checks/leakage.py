"""Whether one feature alone gives the label away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from treadle.data.lazy_frames import count_rows
from treadle.evaluation.evaluated import Evaluated
from treadle.features.featurize import read_target
from treadle.outcomes import Outcome, judge, not_applicable
from treadle.schema import Share

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_TRAINING_ROWS = 100_000  # of which the means by bin are learned, spread over all: a table may be sorted by its label
_TEST_ROWS = 500_000  # on which they are tried, spread likewise
_BINS = 256  # of a number: equally many training rows each
_NUM_SHOWN = 3


def suspect_leakage(evaluated: Evaluated, *, max_share: Share) -> Outcome:
    """No column alone determines the label.

    Of each column that features read, the mean label by value (by bins of a number) is learned on training rows; the
    share of the label's variance that it explains on the test rows is its R squared. Nearly all is more than the world
    allows: the column is made from the label, or is known only after it.

    Args:
        evaluated: given by Treadle.
        max_share: of the label's variance that a column may explain alone; of several labels that of any of them.
    """
    shares = dict(sorted(_explain(evaluated), key=lambda pair: -pair[1]))
    if not shares:
        return not_applicable("The label is the same on all test rows.")
    strongest = dict(list(shares.items())[:_NUM_SHOWN])
    name, share = next(iter(strongest.items()))
    sentence = (
        f"{name} alone explains {max(share, 0):.1%} of the label's variance; more than {max_share:.0%} is suspect."
    )
    return judge(sentence, holds=share <= max_share, strongest=strongest, max_share=max_share)


def _explain(evaluated: Evaluated) -> Iterator[tuple[str, float]]:
    """Each column that features are made of, before any transform, with the share that it explains."""
    classes = evaluated.bundle.classes
    train = (
        evaluated.read_rows("train").gather_every(_find_step(evaluated.read_rows("train"), _TRAINING_ROWS)).collect()
    )
    step = _find_step(evaluated.test, _TEST_ROWS)
    test = evaluated.test.gather_every(step).collect()
    learned = _spread(read_target(train, classes=classes), len(classes))
    asked = _spread(evaluated.target[::step], len(classes))
    has_labels = evaluated.target.dim() == 2  # noqa: PLR2004 - see `Evaluated`
    total = _pool((asked - asked.mean(axis=0)) ** 2, has_labels=has_labels)
    varies = total > 0
    if not varies.any():
        return
    before, after = evaluated.featurizer.derive(train), evaluated.featurizer.derive(test)
    for name in before.columns:
        codes = _encode(pl.concat([before[name], after[name]]), num_first=len(before))
        errors = _measure_errors(codes[: len(before)], codes[len(before) :], learned, asked)
        yield name, float((1 - _pool(errors, has_labels=has_labels)[varies] / total[varies]).max())


def _pool(squares: Floats, *, has_labels: bool) -> Floats:
    """Their sum: of several labels one each, for a column may be made from one of them; else `[1]`."""
    sums: Floats = squares.sum(axis=0) if has_labels else np.array([squares.sum()])
    return sums


def _find_step(rows: pl.LazyFrame, most: int) -> int:
    """Of which every one is taken, so that there are no more than these."""
    return max(1, -(-count_rows(rows) // most))


def _encode(values: pl.Series, *, num_first: int) -> Ints:
    """`[B]` bin of a number, by quantiles of the first values; of anything else one code for each value."""
    if not values.dtype.is_numeric() or values.n_unique() <= _BINS:
        return values.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    numbers = values.cast(pl.Float64).to_numpy()
    first = numbers[:num_first]
    edges = np.unique(np.quantile(first[np.isfinite(first)], np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers))


def _spread(target: torch.Tensor, num_classes: int) -> Floats:
    """`[B, K]`: the value, or an indicator of each class or label."""
    if target.dim() == 2 or not num_classes:  # noqa: PLR2004 - labels are indicators
        return target.double().reshape(len(target), -1).numpy()
    return (target[:, None] == torch.arange(num_classes)).double().numpy()


def _measure_errors(train: Ints, test: Ints, learned: Floats, asked: Floats) -> Floats:
    """`[B, K]` squared errors, on test rows, of the mean of the training rows of their code; of a new code, of all."""
    num = int(max(train.max(), test.max())) + 1
    counts = np.bincount(train, minlength=num)[:, None]
    sums = np.stack([np.bincount(train, weights=column, minlength=num) for column in learned.T], axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), learned.mean(axis=0))
    errors: Floats = (asked - means[test]) ** 2
    return errors
