"""`data.forecast`: the next values of series, and what it says of the examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from treadle.experiment.durations import FORM
from treadle.experiment.spec.base import Duration, Spec, Sql
from treadle.schema import STEP, Count

if TYPE_CHECKING:
    from treadle.experiment.spec.data import Data

_WORDS = {"s": (1, "second"), "m": (1, "minute"), "h": (1, "hour"), "d": (1, "day"), "w": (7, "day")}  # of an INTERVAL


class Forecast(Spec):
    """The next values of series: an example for each row of the examples' table, origin and step (direct forecasts).

    The row at time t is an example of the step s, from 1 to `horizon`, where its origin t - s * frequency is a multiple
    of `every`. It is predicted at the origin, so that it knows what was known then, and nothing later.
    """

    time: str
    """Column of the file with the time of a value, on the grid of `frequency`."""
    series: list[str] = []
    """Columns of the file that name the series of a row; none: all rows are one series."""
    frequency: Duration
    """Time from one value of a series to the next [duration]; values may be missing."""
    horizon: Count
    """Number of values after the origin that are predicted."""
    every: Duration
    """Time from one origin to the next, counted from a Monday, 00:00 UTC [duration]."""
    derive: dict[str, Sql] = {}
    """New columns of an example: a name, and an SQL expression over its row and `step`, such as the origin's hour."""

    @property
    def keys(self) -> list[str]:
        """The columns that tell a forecast's examples apart: series, time and step."""
        return [*self.series, self.time, STEP]


def is_unset(forecast: Any) -> bool:
    """Whether nothing is forecast, so that the experiment reads as if the section did not exist."""
    return forecast is None


def complete_examples(data: Data) -> Data:
    """What a forecast says of the examples, written out: when they are predicted, and columns that all of them know.

    What is given stays: `treadle check` tells where it contradicts. The time at which a row becomes known is that of
    its value, where none is given.
    """
    forecast, spec = data.forecast, data.examples
    if forecast is None:
        return data
    known = [*spec.known, *(name for name in dict.fromkeys(forecast.keys) if name not in spec.known)]
    predict_at = spec.predict_at or write_origin(forecast)
    tables = data.tables
    if spec.table in tables and tables[spec.table].known_at is None:
        table = tables[spec.table].model_copy(update={"known_at": quote(forecast.time)})
        tables = {**tables, spec.table: table}
    examples = spec.model_copy(update={"known": known, "predict_at": predict_at})
    return data.model_copy(update={"examples": examples, "tables": tables})


def write_origin(forecast: Forecast) -> str:
    """The origin of an example as SQL, such as `ts - step * INTERVAL '1 hour'`."""
    match = FORM.fullmatch(forecast.frequency)
    assert match is not None, "the type has verified it"
    factor, word = _WORDS[match[2]]
    return f"{quote(forecast.time)} - {STEP} * INTERVAL '{factor * int(match[1])} {word}'"


def quote(column: str) -> str:
    """A column as SQL names it."""
    return column if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", column) else '"{}"'.format(column.replace('"', '""'))
