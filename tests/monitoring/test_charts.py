"""Faults planted into real weeks are found and named, and weeks without one are left alone."""

import re
from dataclasses import replace

import polars as pl
import pytest

from faults import FAULTS, SEASONAL, calibrate_without, judge_planted, summarize
from treadle.errors import TreadleError
from treadle.monitoring.charts import Charts
from treadle.profiles.blocks import Blocking
from treadle.profiles.cells import fit_cells
from treadle.profiles.profile import BLOCK, count_rows
from treadle.profiles.reference import Performance, Reference

FEED = ["carrier_delay", "carrier_late"]
COLUMNS = ["carrier", "origin", "dest", "distance", "plane_model", "plane_seats", "temp", "dewp", "visib", *FEED]
EVERY = 4  # of the flights
END = pl.datetime(2013, 9, 1)
FORMAT = "%Y-%m-%dT%H:%M:%SZ"
WEEKS = ["2013-02-04", "2013-05-06", "2013-07-29"]


def join_flights(root):
    """A part of the columns of the flights, made in a simpler way: delays of a carrier are those of the day before."""
    folder = root / "data" / "nycflights13"
    at = pl.col("time_hour").str.to_datetime(FORMAT, time_unit="us")
    flights = pl.scan_parquet(folder / "flights.parquet").with_columns(at).filter(pl.col("time_hour") < END)
    planes = pl.scan_parquet(folder / "planes.parquet")
    weather = pl.scan_parquet(folder / "weather.parquet").with_columns(at)
    day = pl.col("time_hour").dt.truncate("1d")
    late = flights.group_by("carrier", (day + pl.duration(days=1)).alias("day")).agg(
        pl.col("arr_delay").mean().alias("carrier_delay"), (pl.col("arr_delay") > 15).mean().alias("carrier_late")
    )
    joined = (
        flights.gather_every(EVERY)
        .with_columns(day.alias("day"))
        .join(planes.select("tailnum", plane_model="model", plane_seats="seats"), on="tailnum", how="left")
        .join(weather.select("origin", "time_hour", "temp", "dewp", "visib"), on=["origin", "time_hour"], how="left")
        .join(late, on=["carrier", "day"], how="left")
    )
    return Blocking("week", 0).name_log(joined.select("time_hour", *COLUMNS), time="time_hour").collect().lazy()


@pytest.fixture(scope="module")
def rows(root):
    return join_flights(root)


def make_reference(rows, *, blocking=None, num_paired=11, names=COLUMNS):
    columns = tuple(fit_cells(rows, name, bins=20, top=30) for name in names)
    return Reference(
        task="binary",
        blocking=blocking or Blocking("week", 0),
        columns=columns,
        ignored={},
        num_paired=num_paired,
        profile=count_rows(rows, columns, num_paired=num_paired),
        performance=Performance({}, 0.5, None, None, {}),
    )


@pytest.fixture(scope="module")
def reference(rows):
    return make_reference(rows)


@pytest.fixture(scope="module")
def charts(reference):
    return calibrate_without(reference, WEEKS, season=False)


def test_few_of_the_references_own_weeks_alarm(reference):
    strengths = Charts(reference, false_alarms=0.05, season=False).own_strengths

    assert len(strengths) == 35
    assert 1 <= sum(strength > 1 for strength in strengths.values()) <= 2


@pytest.mark.parametrize("fault", FAULTS[: -len(SEASONAL)], ids=lambda fault: fault.name)
def test_a_fault_is_found_in_every_week_and_named(rows, reference, charts, fault):
    found = summarize(judge_planted(rows, fault, reference, charts), fault)

    assert (found.alarmed, found.named) == (3, 3)


def test_only_a_pair_shows_that_two_airports_are_swapped(rows, reference, charts):
    (swap,) = (fault for fault in FAULTS if "swapped" in fault.name)

    for week in judge_planted(rows, swap, reference, charts):
        assert {alarm.signal.kind for alarm in week.alarms} == {"pair"}
        assert set(week.alarms[0].signal.columns) == {"origin", "plane_model"}


@pytest.fixture(scope="module")
def seasonal(reference):
    return calibrate_without(reference, WEEKS, season=True)


@pytest.mark.parametrize("fault", SEASONAL, ids=lambda fault: fault.name)
def test_what_stays_inside_the_range_of_a_year_or_a_day_only_season_and_hour_show(
    rows, reference, charts, seasonal, fault
):
    without = summarize(judge_planted(rows, fault, reference, charts), fault)
    judged = judge_planted(rows, fault, reference, seasonal)

    assert without.alarmed < 3
    assert (summarize(judged, fault).alarmed, summarize(judged, fault).named) == (3, 3)
    for alarm in (alarm for week in judged for alarm in week.alarms if alarm.signal.kind in {"season", "hour"}):
        told = r"at \d+:00 UTC [\d.]+ deviations (higher|lower) than expected"
        assert re.search("time of the year" if alarm.signal.kind == "season" else told, alarm.words)


def test_a_reference_of_before_has_no_hours(reference):
    old = replace(reference, profile=replace(reference.profile, hours=None))

    assert len(Charts(old, false_alarms=0.05, season=False).own_strengths) == 35
    with pytest.raises(TreadleError, match="--season needs counts by hour, which this reference does not have"):
        Charts(old, false_alarms=0.05, season=True)


def test_an_alarm_says_what_was_and_what_is(rows, reference, charts):
    judged = judge_planted(rows, FAULTS[3], reference, charts)

    assert judged[0].alarms[0].words.startswith("other: ")
    assert judged[0].alarms[0].words.endswith("100.0 % now")


def test_a_block_of_few_rows_is_not_judged(rows, reference):
    profile = count_rows(rows.filter(pl.col(BLOCK) == WEEKS[0]).head(100), reference.columns, num_paired=11)

    (judged,) = Charts(reference, false_alarms=0.05, season=False).judge(profile)

    assert not judged.alarms
    assert judged.unjudged.startswith("100 rows, fewer than half of a usual block")


def test_too_few_blocks_say_nothing_about_what_is_normal(rows):
    few = make_reference(rows.filter(pl.col(BLOCK) < "2013-02-01"), num_paired=0, names=["temp"])

    with pytest.raises(TreadleError, match="the reference has 5 blocks of enough rows; 8 are needed"):
        Charts(few, false_alarms=0.05, season=False)


def test_blocks_of_rows_have_no_season(rows):
    blocking = Blocking("rows", 1000)
    named = blocking.name_reference(rows.drop(BLOCK).head(30_000), num_rows=30_000, time=None)
    plain = make_reference(named, blocking=blocking, num_paired=0, names=["temp"])

    assert len(Charts(plain, false_alarms=0.05, season=False).own_strengths) == 30
    with pytest.raises(TreadleError, match="--season needs blocks of time"):
        Charts(plain, false_alarms=0.05, season=True)
