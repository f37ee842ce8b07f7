"""Into which blocks rows are put: weeks or days of their time, or so many rows each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from treadle.profiles.profile import BLOCK, HOUR

Unit = Literal["week", "day", "rows"]

NUM_BLOCKS = 30  # of a reference without a time
_MIN_ROWS = 50  # of such a block
_MIN_BLOCKS = 16  # weeks, or days, from which on they are the blocks
_PERIODS = {"week": "1w", "day": "1d"}  # as Polars writes them
_LENGTHS = {"week": timedelta(weeks=1), "day": timedelta(days=1)}
_SEED = 0  # of the blocks of rows
_DATE = "%Y-%m-%d"


@dataclass(frozen=True)
class Blocking:
    """The blocks of a reference and of the logs that are compared with it."""

    unit: Unit
    size: int  # rows of a block, where the unit is rows; else 0

    def name_reference(self, rows: pl.LazyFrame, *, num_rows: int, time: str | None) -> pl.LazyFrame:
        """The rows of the reference with `BLOCK`.

        Rows without a time are dealt out by chance: in which order a table holds them says nothing about time. (Dealt
        out in turn, blocks of a table that is ordered by place would be more alike than chance makes them.)
        """
        if time is not None and self.unit != "rows":
            return self._name_by_time(rows, time)
        count = max(1, num_rows // self.size)
        dealt = np.random.default_rng(_SEED).integers(count, size=num_rows, dtype=np.uint16)
        return rows.with_columns(pl.Series(BLOCK, dealt)).with_columns(_name_by_number())

    def name_log(self, rows: pl.LazyFrame, *, time: str | None) -> pl.LazyFrame:
        """The rows of a log with `BLOCK`: of its time, or so many consecutive rows each."""
        if self.unit != "rows":
            assert time is not None, "asked for before"
            return self._name_by_time(rows, time)
        ordered = rows if time is None else rows.sort(time, maintain_order=True)
        return ordered.with_columns((pl.int_range(pl.len()) // self.size).alias(BLOCK)).with_columns(_name_by_number())

    @property
    def length(self) -> timedelta | None:
        """Time of a block; None of blocks of rows."""
        return None if self.unit == "rows" else _LENGTHS[self.unit]

    def find_end(self, block: str) -> datetime | None:
        """The moment at which a block is over, in UTC; None of blocks of rows."""
        if self.unit == "rows":
            return None
        return datetime.strptime(block, _DATE) + _LENGTHS[self.unit]  # noqa: DTZ007 - times are in UTC without a zone

    def _name_by_time(self, rows: pl.LazyFrame, time: str) -> pl.LazyFrame:
        start = pl.col(time).dt.truncate(_PERIODS[self.unit])
        return rows.with_columns(start.dt.strftime(_DATE).alias(BLOCK), pl.col(time).dt.hour().alias(HOUR))


def _name_by_number() -> pl.Expr:
    return pl.format("block {}", (pl.col(BLOCK).cast(pl.Int64) + 1).cast(pl.String).str.zfill(6)).alias(BLOCK)


def settle_blocking(unit: Unit | Literal["auto"], rows: pl.LazyFrame, *, num_rows: int, time: str | None) -> Blocking:
    """The blocks of a reference; `auto`: weeks, or days, where there are enough of them, else rows.

    Args:
        unit: that is asked for.
        rows: of the reference.
        num_rows: their number.
        time: their column of time, if they have one.
    """
    if unit == "auto":
        unit = "rows" if time is None else _find_period(rows, time)
    return Blocking(unit, max(_MIN_ROWS, num_rows // NUM_BLOCKS) if unit == "rows" else 0)


def _find_period(rows: pl.LazyFrame, time: str) -> Unit:
    counts = rows.select(
        pl.col(time).dt.truncate(period).n_unique().alias(unit) for unit, period in _PERIODS.items()
    ).collect()
    return next((unit for unit in ("week", "day") if counts[unit][0] >= _MIN_BLOCKS), "rows")
