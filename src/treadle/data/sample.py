"""A sample of the training rows, drawn in one pass without replacement.

Each row draws a number, and those with the smallest stay, as in a reservoir. Source: Efraimidis and Spirakis, "Weighted
random sampling with a reservoir", 2006; for equal weights it is a simple random sample. Only what decides about rows is
read for it; other columns are gathered of the rows that stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import RecencySample, SampleRule, UniformSample, WeightSample
from treadle.schema import PREDICT_AT, WEIGHT

Floats = NDArray[np.float64]


def draw_sample(train: pl.DataFrame, rule: SampleRule) -> pl.DataFrame:
    """The rows of the sample, in their order; all, with their weights, where there are no more than it has.

    Args:
        train: roles of the training rows.
        rule: as declared.

    Raises:
        TreadleError: fewer rows than the sample has can be drawn, since the others weigh nothing.
    """
    if len(train) <= rule.rows:
        return train
    chances = _weigh(train, rule)
    if (possible := int(np.isfinite(chances).sum())) < rule.rows:
        raise TreadleError(
            f"data.sample.rows: {rule.rows:,} are to be drawn by weight, and only {possible:,} of {len(train):,} "
            "training rows have a weight above 0; ask for fewer"
        )
    numbers = np.random.default_rng(rule.seed).random(len(train))
    order = np.log(-np.log1p(-numbers)) - chances  # of the logarithm, since no weight is too small for it
    drawn = np.zeros(len(train), dtype=bool)
    drawn[np.argsort(order, kind="stable")[: rule.rows]] = True
    sample = train.filter(pl.Series(drawn)).rechunk()
    return sample.with_columns(pl.lit(1, pl.Float32).alias(WEIGHT)) if isinstance(rule, WeightSample) else sample


def _weigh(train: pl.DataFrame, rule: SampleRule) -> Floats:
    """`[B]` logarithm of how likely each row is, relative to the others; of one that is never drawn minus infinity."""
    match rule:
        case UniformSample():
            return np.zeros(len(train))
        case WeightSample():
            with np.errstate(divide="ignore"):
                logs: Floats = np.log(train[WEIGHT].to_numpy().astype(np.float64))
            return logs
        case RecencySample():
            moments = train[PREDICT_AT].dt.epoch("us").to_numpy().astype(np.float64)
            half_life = parse_duration(rule.half_life).total_seconds() * 1e6
            ages: Floats = (moments - moments.max()) / half_life * np.log(2)
            return ages


def describe_sample(sample: pl.DataFrame, train: pl.DataFrame, rule: SampleRule) -> dict[str, Any]:
    """For the summary: how many rows of how many, and of which time."""
    found: dict[str, Any] = {"by": rule.by, "rows": len(sample), "of": len(train)}
    if isinstance(rule, RecencySample):
        found |= {
            "median_moment": str(sample[PREDICT_AT].median()),
            "median_moment_of_all": str(train[PREDICT_AT].median()),
        }
    return found
