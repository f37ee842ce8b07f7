from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.errors import TreadleError
from treadle.profiles.blocks import Blocking, settle_blocking
from treadle.profiles.calendar import find_calendar
from treadle.profiles.calibration import fit_calibration
from treadle.profiles.cells import fit_cells
from treadle.profiles.counts import list_counts, read_counts
from treadle.profiles.losses import fit_losses
from treadle.profiles.profile import BLOCK, HOUR, Profile, count_part, count_rows
from treadle.profiles.reference import Performance, Reference, read_reference, write_no_reference


def make_rows(num_rows=3000, seed=0):
    generator = np.random.default_rng(seed)
    number = generator.normal(size=num_rows)
    return pl.DataFrame(
        {
            BLOCK: generator.choice(["2013-01-07", "2013-01-14", "2013-01-21"], num_rows),
            HOUR: generator.integers(0, 24, num_rows, dtype=np.int8),
            "number": pl.Series(number, nan_to_null=True).set(pl.Series(number > 1.5), None),
            "text": generator.choice(["a", "b", "c", None], num_rows, p=[0.6, 0.3, 0.05, 0.05]),
            "few": generator.integers(0, 3, num_rows),
        }
    )


@pytest.fixture(scope="module")
def rows():
    return make_rows()


@pytest.fixture(scope="module")
def columns(rows):
    return [fit_cells(rows.lazy(), name, bins=8, top=2) for name in ("number", "text", "few")]


def equal(first, second):
    return first.blocks == second.blocks and all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("rows", "cells", "pairs", "hours")
    )


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=200, max_size=200), st.randoms(use_true_random=False))
def test_any_split_of_the_rows_gives_the_same_profile(rows, columns, parts, random):
    rows = rows.head(200)
    whole = count_part(rows, columns, num_paired=3)
    shares = [rows.filter(pl.Series(parts) == part) for part in range(4)]
    random.shuffle(shares)

    merged = Profile.merge(count_part(share, columns, num_paired=3) for share in shares)

    assert equal(merged, whole)


def test_rows_are_counted_in_parts_as_at_once(rows, columns, monkeypatch):
    whole = count_part(rows, columns, num_paired=3)
    monkeypatch.setattr("treadle.profiles.profile.PART_ROWS", 700)

    assert equal(count_rows(rows.lazy(), columns, num_paired=3), whole)
    assert whole.rows.sum() == len(rows)


def test_tables_of_counts_add_up_and_that_of_no_rows_is_read(rows, columns):
    none, some = (count_rows(part.lazy(), columns, num_paired=2) for part in (rows.head(0), rows))

    assert equal(read_counts(list_counts(none), columns, num_paired=2), none)
    assert equal(read_counts(pl.concat(map(list_counts, (some, none))), columns, num_paired=2), some)


def test_cells_and_pairs_are_counted_as_a_group_by_counts_them(rows, columns):
    number, text, _ = columns
    profile = count_part(rows, columns, num_paired=2)
    first = rows.filter(pl.col(BLOCK) == "2013-01-07")

    assert profile.cells[0][number.count - 1] == first["number"].null_count()
    assert profile.cells[0][number.count] == (first["text"] == "a").sum()
    missing = number.coarse[-1], number.coarse_count + text.coarse[-1]
    both = first.filter(pl.col("number").is_null() & pl.col("text").is_null())
    assert profile.pairs[0][missing] == len(both)


def test_numbers_beyond_the_reference_have_cells_of_their_own(rows, columns):
    number, _, few = columns

    assert number.place(pl.Series([-99.0, 99.0, None, float("nan")])).tolist() == [
        0,
        number.present - 1,
        number.present,
        number.present,
    ]
    assert [few.describe(cell) for cell in few.place(pl.Series([0, 2, 7]))] == ["0 to 1", "2 to 2", "from 2"]


def test_other_texts_share_a_cell(columns):
    text = columns[1]

    assert [text.describe(cell) for cell in text.place(pl.Series(["a", "zzz", None]))] == ["a", "other", "missing"]


def test_a_column_without_a_value_has_a_cell_for_any_number():
    empty = fit_cells(pl.LazyFrame({"x": [None, None]}, schema={"x": pl.Float64}), "x", bins=5, top=5)

    assert empty.place(pl.Series([None, 3.0], dtype=pl.Float64)).tolist() == [1, 0]
    assert empty.describe(0) == "any number"


def test_a_calibration_is_the_isotonic_regression():
    from sklearn.isotonic import IsotonicRegression

    generator = np.random.default_rng(0)
    scores = generator.uniform(size=2000).round(3)
    outcomes = (generator.uniform(size=2000) < scores**2).astype(float)
    asked = np.linspace(-0.1, 1.1, 777)

    found = fit_calibration(scores, outcomes).read(asked)

    judge = IsotonicRegression(out_of_bounds="clip").fit(scores, outcomes)
    assert np.abs(found - judge.predict(asked)).max() < 1e-9


def test_the_loss_of_hard_rows_is_expected_to_be_higher():
    generator = np.random.default_rng(0)
    hard = generator.integers(0, 2, 4000)
    frame = pl.DataFrame({"hard": hard, "noise": generator.normal(size=4000)})
    losses = (1 + 3 * hard) * generator.uniform(0.5, 1.5, 4000)
    columns = [fit_cells(frame.lazy(), name, bins=10, top=5) for name in frame.columns]

    model = fit_losses(frame, columns, {"squared": losses})["squared"]

    named = frame.with_columns(pl.lit("all").alias(BLOCK))
    profiles = [count_part(part, columns, num_paired=0) for part in (named, named.filter(pl.col("hard") == 1))]
    every, only = (model.estimate(profile.cells, profile.rows)[0] for profile in profiles)
    assert every == pytest.approx(losses.mean(), rel=1e-3)
    assert only == pytest.approx(4, rel=0.05)


def make_days(num_days=60):
    generator = np.random.default_rng(0)
    start = datetime(2013, 1, 1, 7)  # noqa: DTZ001 - tables are in UTC without a zone
    times = [start + timedelta(days=day, minutes=20 * step) for day in range(num_days) for step in range(20)]
    time = pl.Series("at", times)
    return pl.DataFrame(
        [
            time,
            time.dt.month().cast(pl.Int64).alias("month"),
            time.dt.weekday().cast(pl.String).alias("weekday"),
            time.dt.hour().cast(pl.Int64).alias("hour"),
            pl.Series("engine", generator.choice(["jet", "prop"], len(times), p=[0.9, 0.1])),
        ]
    ).lazy()


def test_calendar_columns_are_those_with_one_value_on_each_day():
    rows = make_days()

    assert find_calendar(rows, ["month", "weekday", "hour", "engine"], time="at") == ["month", "weekday"]


@pytest.mark.parametrize("rows_a_day", [2, 5])
def test_of_few_rows_a_day_the_calendar_is_found_and_nothing_else(rows_a_day):
    generator = np.random.default_rng(0)
    start = datetime(2013, 1, 1, 7)  # noqa: DTZ001 - tables are in UTC without a zone
    times = pl.Series("at", [start + timedelta(days=place // rows_a_day) for place in range(360 * rows_a_day)])
    flags = {f"flag {share}": generator.uniform(size=len(times)) < share for share in (0.01, 0.1, 0.5)}
    rows = pl.DataFrame([times, times.dt.month().cast(pl.Int64).alias("month"), *map(pl.Series, flags, flags.values())])

    assert find_calendar(rows.lazy(), ["month", *flags], time="at") == ["month"]
    assert find_calendar(rows.lazy().gather_every(rows_a_day), ["month", *flags], time="at") == []  # one row a day


def test_blocks_are_weeks_where_there_are_enough_else_days_else_rows():
    many, few, none = make_days(140), make_days(60), make_days(4)

    found = [settle_blocking("auto", rows, num_rows=3000, time="at") for rows in (many, few, none)]

    assert found == [Blocking("week", 0), Blocking("day", 0), Blocking("rows", 100)]
    named = found[0].name_log(many, time="at").select(pl.col(BLOCK).unique().sort()).collect().to_series().to_list()
    assert named[:2] == ["2012-12-31", "2013-01-07"]
    assert found[0].find_end("2012-12-31") == datetime(2013, 1, 7)  # noqa: DTZ001 - as above
    dealt = found[2].name_reference(none, num_rows=80, time=None).group_by(BLOCK).len().collect()
    assert dealt["len"].to_list() == [80]


def make_reference(rows, columns):
    calibration = fit_calibration(np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.0, 1.0]))
    return Reference(
        task="binary",
        blocking=Blocking("week", 0),
        columns=tuple(columns),
        ignored={"month": "the calendar"},
        num_paired=2,
        profile=count_part(rows, columns, num_paired=2),
        performance=Performance({"auroc": 0.7, "f1": float("nan")}, 0.5, calibration, None, {}),
    )


def test_a_reference_is_read_as_it_was_written(rows, columns, tmp_path):
    reference = make_reference(rows, columns)

    reference.write(tmp_path / "first")
    found = read_reference(tmp_path / "first")

    assert equal(found.profile, reference.profile)
    assert (found.columns, found.ignored, found.blocking) == (
        reference.columns,
        reference.ignored,
        reference.blocking,
    )
    assert found.performance.metrics["auroc"] == 0.7
    assert np.isnan(found.performance.metrics["f1"])
    found.write(tmp_path / "second")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


def test_a_reference_that_is_absent_or_damaged_says_so(rows, columns, tmp_path):
    with pytest.raises(TreadleError, match=r"expected .*reference\.json\. The evaluation of a run writes one"):
        read_reference(tmp_path)

    write_no_reference(tmp_path)
    with pytest.raises(TreadleError, match=r"the run has no reference; set evaluation\.reference"):
        read_reference(tmp_path)

    make_reference(rows, columns).write(tmp_path)
    (tmp_path / "cells.parquet").write_bytes(b"PAR1")
    with pytest.raises(TreadleError, match="the reference is damaged"):
        read_reference(tmp_path)
