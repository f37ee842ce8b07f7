"""Baselines that only remember: the last known label, and the label one season before.

They need no feature and no training, and a model of a series that does not beat them has learned nothing of it
(Hyndman and Athanasopoulos, "Forecasting: principles and practice", 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.evaluation.resampling import Floats
from treadle.experiment.durations import parse_duration
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.experiment.spec.evaluation import Naive
from treadle.features.featurize import read_target
from treadle.schema import PREDICT_AT, SPLITS, Split

LAST_VALUE, SEASONAL = "last_value", "seasonal"  # their names among the results
_AT, _COUNT, _ORDER = "__at__", "__count__", "__order__"


def predict_naive(experiment: Experiment, *, folder: RunFolder, classes: Sequence[str]) -> dict[str, Tensor]:
    """What each of them says of the test rows, `[B]`, or `[B, K]` for K classes; none if `evaluation.naive` is null.

    A label counts from `delay` after its row's time on, whatever its split; of several rows at one moment, their mean.
    The share of a class is shrunk by one row of the training split's mean, so that it is never 0 or 1. A row without
    such a label gets that mean.

    Args:
        experiment: with `data.examples.predict_at`.
        folder: of the run, with the examples of each split.
        classes: of a multiclass task, else none.
    """
    settings = experiment.evaluation.naive
    if settings is None:
        return {}
    frames = {split: _read(folder, split, settings.by) for split in SPLITS}
    labels = {split: _spread(frame, classes) for split, frame in frames.items()}
    prior = labels["train"].mean(axis=0)
    history = _average(pl.concat(frames.values()), np.concatenate(list(labels.values())), settings.by)
    test = frames["test"].with_row_index(_ORDER)
    delay = parse_duration(settings.delay)
    found = {LAST_VALUE: _look_up(test, history, settings, lag=delay, is_exact=False)}
    if settings.season is not None:
        season = parse_duration(settings.season)
        lag = season * max(1, math.ceil(delay / season))
        found[SEASONAL] = _fill(_look_up(test, history, settings, lag=lag, is_exact=True), found[LAST_VALUE])
    is_share = experiment.data.task != "regression"
    return {name: _finish(values, prior, is_share=is_share, classes=classes) for name, values in found.items()}


def _read(folder: RunFolder, split: Split, by: Sequence[str]) -> pl.DataFrame:
    rows = pl.scan_parquet(folder.examples / f"{split}.parquet")
    return rows.select(pl.col(PREDICT_AT).alias(_AT), "label", *by).collect()


def _spread(frame: pl.DataFrame, classes: Sequence[str]) -> Floats:
    """`[B, K]`: the label, or an indicator of each class."""
    target = read_target(frame, classes=classes).double().numpy()
    if not classes:
        return target[:, None]
    indicators: Floats = (target[:, None] == np.arange(len(classes))).astype(np.float64)
    return indicators


def _average(frame: pl.DataFrame, labels: Floats, by: Sequence[str]) -> pl.DataFrame:
    """The mean label of each series at each moment, and its number of rows; in the order of time."""
    named = frame.select(_AT, *by).hstack(pl.DataFrame(labels, schema=_name(labels)))
    means = [pl.col(name).mean() for name in _name(labels)]
    return named.group_by(_AT, *by).agg(*means, pl.len().alias(_COUNT)).sort(_AT)


def _name(labels: Floats) -> list[str]:
    return [f"__{place}__" for place in range(labels.shape[1])]


def _look_up(
    test: pl.DataFrame, history: pl.DataFrame, settings: Naive, *, lag: timedelta, is_exact: bool
) -> pl.DataFrame:
    """The history of each test row at its time less the lag, or the latest before."""
    asked = test.with_columns(pl.col(_AT) - lag).sort(_AT)
    if is_exact:
        joined = asked.join(history, on=[_AT, *settings.by], how="left")
    else:
        joined = asked.join_asof(history, on=_AT, by=settings.by or None, check_sortedness=False)
    return joined.sort(_ORDER).select(pl.col("^__[0-9]+__$"), _COUNT)


def _fill(found: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Where there is nothing one season before, the last value."""
    return found.select(pl.coalesce(found[name], other[name]).alias(name) for name in found.columns)


def _finish(found: pl.DataFrame, prior: Floats, *, is_share: bool, classes: Sequence[str]) -> Tensor:
    counts = found[_COUNT].fill_null(0).to_numpy().astype(np.float64)[:, None]
    values = found.drop(_COUNT).fill_null(0.0).to_numpy()
    shrunk = (values * counts + prior) / (counts + 1)
    result = shrunk if is_share else np.where(counts > 0, values, prior)
    return torch.from_numpy(np.ascontiguousarray(result if classes else result[:, 0]))
