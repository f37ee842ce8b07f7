"""Point-in-time correctness, held against a slow and obvious computation on real flights."""

import math
from datetime import timedelta

import polars as pl
import pytest

from treadle.data import point_in_time as past
from treadle.errors import TreadleError
from treadle.experiment.spec import AsOf, History
from treadle.schema import PREDICT_AT, ROW

WINDOW = timedelta(hours=3)


def look_back_asof(asked, asof, table, *, own=()):
    return past.look_back_asof(asked, asof, table.lazy(), own=own, key="k")


def look_back_window(asked, history, table, *, own=()):
    return past.look_back_window(asked, history, table.lazy(), own=own, key="k")


@pytest.fixture(scope="module")
def flights(flights_tables):
    return flights_tables["flights"].collect()


@pytest.fixture(scope="module")
def asked(flights):
    moments = flights.with_row_index(ROW).with_columns((pl.col("scheduled_at") - timedelta(hours=1)).alias(PREDICT_AT))
    return moments.sample(150, seed=0).sort(PREDICT_AT, maintain_order=True)


def seen_at(flights, row, key, within):
    known = pl.col("known_at")
    return flights.filter((pl.col(key) == row[key]) & (known <= row[PREDICT_AT]) & (known > row[PREDICT_AT] - within))


@pytest.mark.sampled_cases(1)
@pytest.mark.slow
@pytest.mark.parametrize("key", ["origin", "carrier", "dest"])
def test_history_counts_only_flights_that_had_arrived(flights, asked, key):
    history = History(
        table="flights",
        by={key: key},
        window="3h",
        columns={
            "delay": "AVG(arr_delay)",
            "late": "AVG(arr_delay > 15)",
            "total": "SUM(arr_delay)",
            "count": "COUNT(*)",
        },
    )

    found = look_back_window(asked, history, flights)

    for row, result in zip(asked.to_dicts(), found.to_dicts(), strict=True):
        seen = seen_at(flights, row, key, WINDOW)["arr_delay"]
        assert result["count"] == len(seen)
        assert result["total"] == pytest.approx(seen.sum(), abs=1e-6)
        assert result["delay"] == pytest.approx(seen.mean(), abs=1e-9)
        assert result["late"] == pytest.approx((seen > 15).mean(), abs=1e-9)


@pytest.mark.slow
def test_as_of_takes_the_last_arrival_known_by_then(flights, asked):
    asof = AsOf(
        table="flights",
        by={"tailnum": "tailnum"},
        within="1d",
        columns={"before": "arr_delay", "when": "known_at"},
    )

    found = look_back_asof(asked, asof, flights)

    compared = 0
    for row, result in zip(asked.to_dicts(), found.to_dicts(), strict=True):
        seen = flights.filter(
            (pl.col("tailnum") == (row["tailnum"] or ""))
            & (pl.col("known_at") <= row[PREDICT_AT])
            & (pl.col("known_at") >= row[PREDICT_AT] - timedelta(days=1))
        ).sort("known_at", maintain_order=True)
        expected = seen[-1].to_dicts()[0] if len(seen) else None
        assert result["when"] == (expected and expected["known_at"])
        assert result["before"] == (expected and expected["arr_delay"])
        compared += expected is not None
    assert compared > 50


@pytest.mark.slow
def test_as_of_weather_is_the_last_observation(flights_tables, asked):
    weather = flights_tables["weather"].collect()
    asof = AsOf(table="weather", by={"origin": "origin"}, within="6h", columns={"temp": "temp", "seen": "time_hour"})

    found = look_back_asof(asked, asof, weather)

    for row, result in zip(asked.to_dicts(), found.to_dicts(), strict=True):
        seen = weather.filter(
            (pl.col("origin") == row["origin"])
            & (pl.col("time_hour") <= row[PREDICT_AT])
            & (pl.col("time_hour") >= row[PREDICT_AT] - timedelta(hours=6))
        ).sort("time_hour")
        assert result["seen"] == (seen["time_hour"][-1] if len(seen) else None)


def test_arrival_is_known_at_the_time_of_the_clock(flights):
    """Scheduled time plus delay plus the minutes in between lands on the arrival clock at the destination."""
    arrived = flights.filter(pl.col("arr_delay").is_not_null())
    local = arrived.select(
        clock=(pl.col("known_at") + pl.duration(hours=pl.col("dest_offset"))),
        arr_minute=pl.col("arr_minute") % 1440,
    )
    minutes = local.select(pl.col("clock").dt.hour().cast(int) * 60 + pl.col("clock").dt.minute(), "arr_minute")

    assert (minutes["clock"] == minutes["arr_minute"]).all()
    assert flights.filter(pl.col("arr_time").is_null())["known_at"].null_count() == 8713


def test_a_row_without_key_sees_nothing():
    table = pl.DataFrame({"key": ["a", None], "value": [1.0, 2.0], "known_at": [timedelta(0)] * 2}).with_columns(
        pl.lit("2013-01-01").str.to_datetime(time_unit="us").alias("known_at")
    )
    asked = pl.DataFrame(
        {"key": [None, "a"], PREDICT_AT: ["2013-01-01T01:00:00"] * 2}, schema_overrides={"key": pl.String}
    )
    asked = asked.with_columns(pl.col(PREDICT_AT).str.to_datetime(time_unit="us"))
    history = History(table="t", by={"key": "key"}, window="3h", columns={"n": "COUNT(*)", "mean": "AVG(value)"})

    found = look_back_window(asked, history, table)

    assert found.to_dicts() == [{"n": 0.0, "mean": None}, {"n": 1.0, "mean": 1.0}]


@pytest.mark.slow
def test_what_is_no_aggregate_is_refused(flights, asked):
    history = History(table="flights", by={"origin": "origin"}, window="3h", columns={"x": "MAX(arr_delay)"})

    with pytest.raises(TreadleError, match=r"k\.columns\.x: 'MAX\(arr_delay\)' is not an aggregate"):
        look_back_window(asked, history, flights)


def test_a_count_takes_values_of_any_type():
    moments = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 4), "1d", eager=True)
    table = pl.DataFrame(
        {"known_at": moments, "name": ["a", None, "c", "d"], "when": moments, "v": [1.0, None, math.nan, math.inf]}
    )
    columns = {"names": "COUNT(name)", "moments": "COUNT(when)", "true": "COUNT(name = 'a')", "values": "COUNT(v)"}
    history = History(table="t", by={}, window="9d", columns={**columns, "rows": "COUNT(*)"})

    found = look_back_window(pl.DataFrame({PREDICT_AT: moments[-1:]}), history, table)

    assert found.to_dicts() == [{"names": 3, "moments": 4, "true": 3, "values": 1, "rows": 4}]


def test_a_sum_of_pieces_that_is_too_large_is_null():
    """The own row in the middle cuts the range in two, of which each has a sum."""
    moments = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 3), "1d", eager=True)
    table = pl.DataFrame({"known_at": moments, "v": [1.7e308, 0.0, 1.7e308]})
    history = History(table="t", by={}, window="9d", columns={"total": "SUM(v)", "mean": "AVG(v)"})

    found = look_back_window(pl.DataFrame({PREDICT_AT: moments[-1:]}), history, table, own=[pl.Series([1])])

    assert found.to_dicts() == [{"total": None, "mean": None}]
