"""A forecast: its columns, its grid, and a split that keeps what is predicted apart."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Experiment, Forecast, Table, TimeSeriesFolds, TimeSplit, write_origin
from treadle.hints import nearest
from treadle.problems import Problem
from treadle.schema import STEP
from treadle.sql.expressions import list_columns

_KEY = "data.forecast"


def check_forecast(experiment: Experiment) -> Iterator[Problem]:
    """The section stands where the task is a forecast, and fits the table."""
    data = experiment.data
    forecast, table = data.forecast, data.tables.get(data.examples.table)
    if (data.task == "forecast") != (forecast is not None):
        if forecast is None:
            rule = "is needed: a forecast declares time, series, frequency, horizon and every"
            yield Problem(_KEY, rule, "add the section, or set data.task to regression")
        else:
            yield Problem(_KEY, f"is of a forecast, and data.task is {data.task!r}", "set data.task to forecast")
        return
    if forecast is None or table is None:
        return
    yield from _check_keys(forecast, table, name=data.examples.table)
    yield from _check_durations(forecast)
    if data.examples.predict_at != write_origin(forecast):
        rule = f"a forecast is made at its origin, {write_origin(forecast)}; found {data.examples.predict_at!r}"
        yield Problem("data.examples.predict_at", rule, "remove it: data.forecast says it")
    yield from _check_known(experiment)


def _check_keys(forecast: Forecast, table: Table, *, name: str) -> Iterator[Problem]:
    """Columns of the file, so that rows that are still to come can be made of them, none of them missing."""
    named = {f"{_KEY}.time": forecast.time}
    named |= {f"{_KEY}.series.{index}": column for index, column in enumerate(forecast.series)}
    for key, column in named.items():
        spec = table.columns.get(column)
        if spec is None:
            rule = f"no column {column!r} in the file of {name!r}"
            yield Problem(key, rule, hint=nearest(column, table.columns))
        elif key == f"{_KEY}.time" and spec.dtype not in {"datetime", "date"}:
            yield Problem(key, f"must be a date or datetime; {column!r} is {spec.dtype}")
        elif spec.nullable:
            yield Problem(
                key, f"{column!r} may be missing, and a value without it belongs nowhere", "set nullable to false"
            )
    made = {*table.columns, *table.derive, *(column for join in table.joins.values() for column in join.columns)}
    if STEP in made:
        yield Problem(f"data.tables.{name}", f"{STEP!r} is the column that a forecast adds", "rename that of the table")


def _check_durations(forecast: Forecast) -> Iterator[Problem]:
    frequency, every = parse_duration(forecast.frequency), parse_duration(forecast.every)
    if not frequency:
        yield Problem(f"{_KEY}.frequency", f"must be longer than nothing; found {forecast.frequency!r}")
    elif every < frequency:
        rule = f"origins lie on the grid of the series, at least {forecast.frequency} apart; found {forecast.every!r}"
        yield Problem(f"{_KEY}.every", rule, f"set it to {forecast.frequency} or longer")


def _check_known(experiment: Experiment) -> Iterator[Problem]:
    """What is predicted is not known in advance."""
    examples = experiment.data.examples
    label = {column for text in examples.labels.values() for column in list_columns(text)}
    for index, column in enumerate(examples.known):
        if column in label and column not in (experiment.data.forecast.keys if experiment.data.forecast else ()):
            rule = f"{column!r} is what the label is computed from, and columns in `known` are known at the origin"
            fix = "remove it here; `asof` and `history` read its earlier values"
            yield Problem(f"data.examples.known.{index}", rule, fix)


def check_forecast_split(experiment: Experiment) -> Iterator[Problem]:
    """By the time of the origin, with a gap as long as the horizon."""
    forecast, split = experiment.data.forecast, experiment.data.split
    if forecast is None:
        return
    if not isinstance(split, TimeSplit | TimeSeriesFolds):
        rule = f"a forecast is judged on later origins, and the split is by {split.by!r}"
        yield Problem("data.split.by", rule, "split by time or time_series", fix_override="data.split.by=time")
        return
    ahead = forecast.horizon * parse_duration(forecast.frequency)
    if parse_duration(split.gap) < ahead:
        rule = f"origins just before a split are {forecast.horizon} x {forecast.frequency} away from their last label"
        fix = "make it at least as long: a shorter gap lets training see labels of the next split"
        yield Problem("data.split.gap", f"{rule}; found {split.gap!r}", fix)


def check_forecast_naive(experiment: Experiment) -> Iterator[Problem]:
    """Naive baselines remember each series by itself, and a season ends at one of its values."""
    forecast, naive = experiment.data.forecast, experiment.evaluation.naive
    if forecast is None or naive is None:
        return
    step = parse_duration(forecast.frequency)
    if naive.season is not None and step and parse_duration(naive.season) % step:
        rule = f"must be a multiple of data.forecast.frequency, {forecast.frequency}; found {naive.season!r}"
        yield Problem("evaluation.naive.season", rule, "no value would be a season before another")
    if set(naive.by) != set(forecast.series):
        rule = f"the series are those of data.forecast.series, {forecast.series}; found {naive.by}"
        yield Problem("evaluation.naive.by", rule, "name the same columns")
