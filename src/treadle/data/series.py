"""Series: rows of a table as examples of a forecast, one for each origin and step.

An example is a row of the table, which is predicted at an origin some steps before it. Whatever is looked up in the
past is what was known at the origin.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.data.lazy_frames import collect, derive, parse
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Data, Forecast
from treadle.schema import LABEL, ROW, STEP
from treadle.wording import number_of

SERIES_FILE, TIME = "series.parquet", "__time"  # the series by themselves, and their column of the time
SOURCE = "__source"  # position of an example's row in its table, where a row is several examples
_MONDAY = datetime(1970, 1, 5)  # noqa: DTZ001 - tables are in UTC without a zone
_KEY = "data.forecast"
_SHOWN = 3

Ints = NDArray[np.int64]


def number_examples(table: pl.LazyFrame, data: Data, *, origin: datetime | None = None) -> pl.LazyFrame:
    """The rows of the examples' table with ROW: of a forecast those of all origins, or of one, with STEP and SOURCE.

    Raises:
        TreadleError: times are off the grid of the frequency, or a series has two rows of one time.
    """
    forecast = data.forecast
    if forecast is None:
        return table.with_row_index(ROW)
    check_grid(table, forecast, table_name=data.examples.table)
    sources, steps = _pair(_read_times(table, forecast), forecast, origin=origin)
    (rows,) = collect(table, key=_KEY)
    examples = rows[sources].with_columns(pl.Series(STEP, steps), pl.Series(SOURCE, sources))
    return derive(examples.lazy(), forecast.derive, key=f"{_KEY}.derive").with_row_index(ROW)


def _pair(times: Ints, forecast: Forecast, *, origin: datetime | None) -> tuple[Ints, Ints]:
    """The rows and steps of all examples, ordered by row, then by step."""
    frequency, every = (_count(parse_duration(text)) for text in (forecast.frequency, forecast.every))
    found: list[tuple[Ints, Ints]] = []
    for step in range(1, forecast.horizon + 1):
        origins = times - step * frequency
        if origin is None:  # the first period of each `every`, wherever the grid of the series begins
            rows = np.flatnonzero((origins - _count(_MONDAY - _EPOCH)) % every < frequency)
        else:
            rows = np.flatnonzero(origins == _count(origin - _EPOCH))
        found.append((rows.astype(np.int64), np.full(len(rows), step, dtype=np.int64)))
    sources, steps = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((steps, sources))
    return sources[order], steps[order]


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as above


def _count(duration: timedelta) -> int:
    """In microseconds."""
    return duration // timedelta(microseconds=1)


def _read_times(table: pl.LazyFrame, forecast: Forecast) -> Ints:
    """The time of each row, in microseconds since 1970."""
    (frame,) = collect(table.select(pl.col(forecast.time).cast(pl.Datetime("us")).to_physical()), key=f"{_KEY}.time")
    times: Ints = frame.to_series().to_numpy()
    return times


def check_grid(table: pl.LazyFrame, forecast: Forecast, *, table_name: str) -> None:
    """Each time on the grid that the first one begins, and once in a series; errors as in `number_examples`."""
    at = pl.col(forecast.time).cast(pl.Datetime("us"))
    keys = [*forecast.series, forecast.time]
    off = ((at - at.min()).dt.total_microseconds() % _count(parse_duration(forecast.frequency))) != 0
    marked = table.select(*keys, off.alias("__off"), pl.struct(keys).is_duplicated().alias("__twice"))
    (rows,) = collect(marked, key=_KEY)
    if len(wrong := rows.filter("__off")):
        rows_off = f"{number_of(len(wrong), 'row')} of {table_name!r}"
        rule = f"off the grid of {forecast.frequency} that the first begins: {rows_off}"
        fix = "round the column before, or give its own frequency"
        raise TreadleError(f"{_KEY}.frequency: {rule}, such as {_show(wrong, forecast)}; {fix}")
    if len(wrong := rows.filter("__twice")):
        rule = f"{len(wrong):,} rows of {table_name!r} share series and time with another"
        fix = "aggregate them before, or name the columns that tell the series apart"
        raise TreadleError(f"{_KEY}.series: {rule}, such as {_show(wrong, forecast)}; {fix}")


def _show(rows: pl.DataFrame, forecast: Forecast) -> str:
    shown = rows.select(*forecast.series, pl.col(forecast.time).cast(pl.String)).unique(maintain_order=True)
    return ", ".join("/".join(map(str, row)) for row in shown.head(_SHOWN).rows())


def read_series(table: pl.LazyFrame, data: Data, forecast: Forecast) -> pl.DataFrame:
    """The series by themselves, in the order of time: TIME and LABEL, and the columns that name the series.

    A value is there whichever split its examples are in, or between two of them; not where the label is missing.
    """
    ((key, text),) = data.examples.labels.items()
    label = parse(text, table, key=key).cast(pl.Float64).alias(LABEL)
    at = pl.col(forecast.time).cast(pl.Datetime("us")).alias(TIME)
    (values,) = collect(table.select(*forecast.series, at, label), key="data.examples.label")
    return values.drop_nulls(LABEL).sort(TIME, maintain_order=True)


def describe_series(series: pl.DataFrame, forecast: Forecast) -> dict[str, int]:
    """How many series there are, and how many of their values are missing between the first and the last."""
    at, frequency = pl.col(TIME), _count(parse_duration(forecast.frequency))
    spans = ((at.max() - at.min()).dt.total_microseconds() // frequency + 1 - pl.len()).alias("missing")
    by = [pl.col(name) for name in forecast.series] or [pl.lit(0).alias("one")]
    found = series.group_by(by).agg(spans)
    return {"series": len(found), "missing_values": int(found["missing"].sum())}


# --- the next values ----------------------------------------------------------------------------------


def find_origin(table: pl.LazyFrame, forecast: Forecast, *, at: datetime) -> datetime:
    """The last time on the grid of the series that is not after a moment.

    Raises:
        TreadleError: no value is as old as that.
    """
    times = _read_times(table, forecast)
    moment, frequency = _count(at - _EPOCH), _count(parse_duration(forecast.frequency))
    if not (times <= moment).any():
        raise TreadleError(f"--at: no row of the series is at {at} or before: there is nothing to forecast from")
    first = int(times.min())
    return _EPOCH + timedelta(microseconds=first + (moment - first) // frequency * frequency)


def add_next(table: pl.LazyFrame, forecast: Forecast, *, origin: datetime) -> pl.LazyFrame:
    """The table with a row for each of the next values of each series that has none yet: of its series and time alone.

    A row that is there already may hold what is known in advance.

    Args:
        table: as it was read.
        forecast: of its series.
        origin: from which is forecast; a series counts that has a row then or before.
    """
    schema = table.collect_schema()
    frequency = parse_duration(forecast.frequency)
    times = pl.Series(forecast.time, [origin + step * frequency for step in range(1, forecast.horizon + 1)])
    following = times.cast(schema[forecast.time]).to_frame().lazy()
    if forecast.series:
        begun = table.filter(pl.col(forecast.time).cast(pl.Datetime("us")) <= origin)
        following = begun.select(forecast.series).unique(maintain_order=True).join(following, how="cross")
    keys = [*forecast.series, forecast.time]
    absent = following.join(table.select(keys), on=keys, how="anti", maintain_order="left")
    return pl.concat([table, absent], how="diagonal")
