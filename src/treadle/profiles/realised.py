"""Realised performance of blocks as a number whose normal course the test split's own blocks show.

A raw loss follows the base rate: where more flights are late it rises though the model is as good as before. So a loss
is taken as a share of the loss of the best constant prediction for the same rows, which knows their base rate or mean.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

import numpy as np
from numpy.typing import ArrayLike

from treadle.metrics.deviance import compute_deviances
from treadle.schema import Task

MIN_BLOCKS = 5  # of the test split, below which nothing says how much performance varies
_FLOOR = 1e-3  # of the deviation of a share


def relate_to_prior(loss: float, labels: ArrayLike, *, task: Task) -> float:
    """The loss as a share of that of the best constant prediction: 1 says that the model knows nothing.

    Args:
        loss: of the model on these rows, by the task's `loss_metric`.
        labels: `[B]` numbers of the rows: 0 or 1, indices of classes, or targets.
        task: of the model.

    Returns:
        The share; NaN where the labels are all alike, so that a constant has no loss.
    """
    if not np.size(labels):
        return math.nan
    prior = find_prior_loss(labels, task=task)
    if task == "regression":  # whose loss is a root
        prior = math.sqrt(prior)
    return loss / prior if prior > 0 else math.nan


def find_prior_loss(labels: ArrayLike, *, task: Task) -> float:
    """The mean loss of the best constant: the entropy of classes, a variance, or the Poisson deviance of the mean.

    Of several labels `[B, L]` the mean entropy.

    >>> round(find_prior_loss([0, 0, 1, 1], task="binary"), 4)
    0.6931
    """
    values = np.asarray(labels, dtype=np.float64)
    if task == "regression":
        return float(np.var(values))
    if task == "count":
        return float(compute_deviances(np.full(len(values), values.mean()), values).mean())
    if task == "multilabel":
        return float(np.mean([find_prior_loss(label, task="binary") for label in values.T]))
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True)
class Usual:
    """How the shares of blocks usually lie."""

    mean: float
    deviation: float
    count: int  # of blocks

    def find_limit(self, false_alarms: float) -> float:
        """The deviations of a further block that only so large a share of normal blocks exceeds.

        It is the limit of a prediction interval for a normal variable, of which mean and deviation are estimated.
        """
        return _find_quantile(1 - false_alarms, self.count - 1) * math.sqrt(1 + 1 / self.count)


def describe_usual(shares: Collection[float]) -> Usual | None:
    """The usual course of the shares of blocks; None of too few."""
    known = [share for share in shares if math.isfinite(share)]
    if len(known) < MIN_BLOCKS:
        return None
    return Usual(fmean(known), max(stdev(known), _FLOOR), len(known))


def _find_quantile(chance: float, freedom: int) -> float:
    """Student's t, by the expansion of Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.5."""
    z = NormalDist().inv_cdf(chance)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / float(freedom**3)
