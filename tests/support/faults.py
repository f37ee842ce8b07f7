"""Faults planted into real weeks of flights, and how many of those weeks the charts find."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from treadle.monitoring.charts import Charts, Judged
from treadle.profiles.profile import BLOCK, HOUR, count_rows
from treadle.profiles.reference import Reference

FEED = (  # columns that a feed of delays fills
    "plane_arr_delay",
    "origin_delay",
    "origin_late",
    "carrier_delay",
    "carrier_late",
    "dest_delay",
    "dest_late",
)
COURSED = frozenset({"hour", "origin_arrivals", *FEED, "distance", "plane_seats", "temp", "dewp"})  # over the day
TENTH = 10
LONG = 1500  # miles


@dataclass(frozen=True)
class Fault:
    """What is done to the rows, and which columns an alarm should name first."""

    name: str
    plant: Callable[[pl.LazyFrame], pl.LazyFrame]
    named: frozenset[str]


def lose(*names):
    def plant(rows):
        present = rows.collect_schema()
        return rows.with_columns(pl.lit(None, dtype=present[name]).alias(name) for name in names if name in present)

    return plant


def lose_tenth(rows):
    return rows.with_columns(temp=pl.when(pl.int_range(pl.len()) % TENTH != 0).then("temp"))


def to_km(rows):
    return rows.with_columns(distance=(pl.col("distance") * 1.609344).round().cast(pl.Int64))


def to_small_letters(rows):
    return rows.with_columns(pl.col("carrier").str.to_lowercase())


def triple_long(rows):
    long = rows.filter(pl.col("distance") > LONG)
    return pl.concat([rows, long, long])


def swap_airports(rows):
    return rows.with_columns(pl.col("origin").replace({"EWR": "JFK", "JFK": "EWR"}))


def to_celsius(rows):
    return rows.with_columns(temp=(pl.col("temp") - 32) / 1.8)


def to_local_time(rows):
    """New York's winter time, taken for UTC."""
    return rows.with_columns((pl.col(HOUR) + 19) % 24)


SEASONAL = (  # which stay within what a year or a day brings
    Fault("temp in Celsius", to_celsius, frozenset({"temp"})),
    Fault(
        "times in local time",
        to_local_time,
        COURSED,
    ),
)
FAULTS = (
    Fault("temp is missing", lose("temp"), frozenset({"temp"})),
    Fault("10 % of temp is missing", lose_tenth, frozenset({"temp"})),
    Fault("distance in km", to_km, frozenset({"distance"})),
    Fault("carrier in small letters", to_small_letters, frozenset({"carrier"})),
    Fault("the feed of delays stops", lose(*FEED), frozenset(FEED)),
    Fault("long flights three times as often", triple_long, frozenset({"distance", "dest", "dest_lat", "dest_lon"})),
    Fault("EWR and JFK are swapped", swap_airports, frozenset({"origin"})),
    *SEASONAL,
)


@dataclass(frozen=True)
class Found:
    """Of the weeks with a fault."""

    weeks: int
    alarmed: int
    named: int  # with the fault's column in the strongest alarm


def judge_planted(rows: pl.LazyFrame, fault: Fault, reference: Reference, charts: dict[str, Charts]) -> list[Judged]:
    """Judge the weeks with a fault, each by charts that do not know that week.

    Args:
        rows: of the reference, with `BLOCK`.
        fault: to plant.
        reference: of these rows.
        charts: by week.
    """
    wanted = fault.plant(rows.filter(pl.col(BLOCK).is_in(list(charts))))
    profile = count_rows(wanted, reference.columns, num_paired=reference.num_paired)
    return [
        charts[block].judge(profile.take([other == block for other in profile.blocks]))[0] for block in profile.blocks
    ]


def calibrate_without(reference: Reference, blocks: list[str], *, season: bool) -> dict[str, Charts]:
    """For each of some weeks the charts of all others."""
    return {block: Charts(reference.without(block), false_alarms=0.05, season=season) for block in blocks}


def summarize(judged: list[Judged], fault: Fault) -> Found:
    alarmed = [week for week in judged if week.alarms]
    named = sum(bool(fault.named & set(week.alarms[0].signal.columns)) for week in alarmed)
    return Found(len(judged), len(alarmed), named)


@dataclass(frozen=True)
class Measured:
    """What the charts find in the weeks of a reference."""

    weeks: int
    false: int  # weeks without a fault that alarm
    found: dict[str, Found]  # by fault, of the weeks that do not alarm without one


def measure_all(rows: pl.LazyFrame, reference: Reference, *, season: bool) -> Measured:
    """Plant each fault into each week of a reference, and judge it by the other weeks.

    Args:
        rows: of the reference, with `BLOCK`.
        reference: of these rows.
        season: whether the seasonal chart is used, too.
    """
    strengths = Charts(reference, false_alarms=0.05, season=season).own_strengths
    quiet = [block for block, strength in strengths.items() if strength <= 1]
    charts = calibrate_without(reference, quiet, season=season)
    found = {fault.name: summarize(judge_planted(rows, fault, reference, charts), fault) for fault in FAULTS}
    return Measured(len(strengths), len(strengths) - len(quiet), found)
