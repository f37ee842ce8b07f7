"""Baselines that only remember: the last known label, that one season before, and of a series its drift.

They need no feature and no training, and a model of a series that does not beat them has learned nothing of it
(Hyndman and Athanasopoulos, "Forecasting: principles and practice", 5.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.data.series import SERIES_FILE, TIME
from treadle.evaluation.resampling import Floats
from treadle.experiment.durations import parse_duration
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.experiment.spec.evaluation import Naive
from treadle.features.featurize import read_target
from treadle.schema import LABEL, PREDICT_AT, SPLITS, Split
from treadle.tasks import TRAITS

LAST_VALUE, SEASONAL, DRIFT = "last_value", "seasonal", "drift"  # their names among the results
_AT, _ASKED, _COUNT, _ORDER = "__at__", "__asked__", "__count__", "__order__"
_THEN = "__then__"  # time of the value that was found
_FIRST, _START = "__first__", "__start__"  # time of the first value of its series, and the value


def predict_naive(experiment: Experiment, *, folder: RunFolder, classes: Sequence[str]) -> dict[str, Tensor]:
    """What each of them says of the test rows, `[B]`, or `[B, K]` for K classes; none if `evaluation.naive` is null.

    A label counts from `delay` after its row's time on, whatever its split; of several rows at one moment, their mean.
    A forecast's row has the time of its value, and is asked at its origin: a step later than a season gets the label
    of the last season that is known; the drift goes on by the mean change between the first value and the last.
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
    forecast = experiment.data.forecast
    time = PREDICT_AT if forecast is None else forecast.time
    frames = {split: _read(folder, split, settings.by, time=time) for split in SPLITS}
    labels = {split: _spread(frame, classes) for split, frame in frames.items()}
    prior = labels["train"].mean(axis=0)
    if forecast is None:
        history = _average(pl.concat(frames.values()), np.concatenate(list(labels.values())), settings.by)
    else:
        history = _read_series(folder)
    test = frames["test"].with_row_index(_ORDER)
    delay = parse_duration(settings.delay)
    last = _look_up(test.with_columns(pl.col(_ASKED) - delay), history, settings)
    found = {LAST_VALUE: last}
    if settings.season is not None:
        season = parse_duration(settings.season)
        before = _find_season(test, delay=delay, season=season)
        others = [last]
        if forecast is not None:  # a value of the series may be missing
            others.insert(0, _look_up(before.with_columns(pl.col(_ASKED) - season), history, settings, is_exact=True))
        found[SEASONAL] = _fill(_look_up(before, history, settings, is_exact=True), *others)
    if forecast is not None:
        found[DRIFT] = _drift(test, last, history, settings.by)
    is_share = not TRAITS[experiment.data.answer].is_value
    return {name: _finish(values, prior, is_share=is_share, classes=classes) for name, values in found.items()}


def _read(folder: RunFolder, split: Split, by: Sequence[str], *, time: str) -> pl.DataFrame:
    rows = pl.scan_parquet(folder.examples / f"{split}.parquet")
    at = pl.col(time).cast(pl.Datetime("us")).alias(_AT)
    return rows.select(at, pl.col(PREDICT_AT).alias(_ASKED), "label", *by).collect()


def _read_series(folder: RunFolder) -> pl.DataFrame:
    """As `_average` gives it: the series themselves, with what lies between two splits."""
    series = pl.read_parquet(folder.examples / SERIES_FILE)
    return series.rename({TIME: _AT, LABEL: "__0__"}).with_columns(pl.lit(1, pl.get_index_type()).alias(_COUNT))


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


def _find_season(test: pl.DataFrame, *, delay: timedelta, season: timedelta) -> pl.DataFrame:
    """The test rows, asked for the time the fewest whole seasons before their own of which the label is known."""
    micro = timedelta(microseconds=1)
    ahead = (pl.col(_AT) - pl.col(_ASKED)).dt.total_microseconds() + delay // micro
    seasons = pl.max_horizontal(1, -(-ahead // (season // micro)))
    return test.with_columns((pl.col(_AT) - pl.duration(microseconds=seasons * (season // micro))).alias(_ASKED))


def _look_up(asked: pl.DataFrame, history: pl.DataFrame, settings: Naive, *, is_exact: bool = False) -> pl.DataFrame:
    """The history of each row at the time that is asked for, or the latest before; with the time of what is found."""
    values = history.with_columns(pl.col(_AT).alias(_THEN)).rename({_AT: _ASKED})
    asked = asked.select(_ORDER, _ASKED, *settings.by).sort(_ASKED)
    if is_exact:
        joined = asked.join(values, on=[_ASKED, *settings.by], how="left")
    else:
        joined = asked.join_asof(values, on=_ASKED, by=settings.by or None, check_sortedness=False)
    return joined.sort(_ORDER).select(pl.col("^__[0-9]+__$"), _COUNT, _THEN)


def _drift(test: pl.DataFrame, last: pl.DataFrame, history: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The last value, moved by the mean change of its series so far for as long as the row is ahead of it."""
    keys = [pl.col(name) for name in by] or [pl.lit(0).alias("one")]
    first = history.group_by(keys).agg(pl.col(_AT).first().alias(_FIRST), pl.col("__0__").first().alias(_START))
    rows = test.select(_AT, *keys).join(first, on=[*by] or ["one"], how="left", maintain_order="left")
    rows = pl.concat([rows, last], how="horizontal")
    slope = (pl.col("__0__") - pl.col(_START)) / (pl.col(_THEN) - pl.col(_FIRST)).dt.total_microseconds()
    moved = pl.col("__0__") + slope * (pl.col(_AT) - pl.col(_THEN)).dt.total_microseconds()
    value = pl.when(pl.col(_THEN) > pl.col(_FIRST)).then(moved).otherwise("__0__")
    return rows.select(value.alias("__0__"), _COUNT, _THEN)


def _fill(*found: pl.DataFrame) -> pl.DataFrame:
    """Where there is nothing one season before, what comes next: in the end the last value."""
    return found[0].select(pl.coalesce(*(frame[name] for frame in found)).alias(name) for name in found[0].columns)


def _finish(found: pl.DataFrame, prior: Floats, *, is_share: bool, classes: Sequence[str]) -> Tensor:
    counts = found[_COUNT].fill_null(0).to_numpy().astype(np.float64)[:, None]
    values = found.drop(_COUNT, _THEN).fill_null(0.0).to_numpy()
    shrunk = (values * counts + prior) / (counts + 1)
    result = shrunk if is_share else np.where(counts > 0, values, prior)
    return torch.from_numpy(np.ascontiguousarray(result if classes else result[:, 0]))
