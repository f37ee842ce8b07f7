"""Series as examples: which origins and steps there are, and that none of them knows the future."""

from datetime import datetime, timedelta

import polars as pl
import pytest
import yaml

from forecasts import DATA, DAYS, HORIZON, START, make_sales
from treadle.data.prepare import build_examples, prepare
from treadle.data.unlabelled import build_unlabelled
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.schema import LABEL, PREDICT_AT, SPLITS

NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone
DAY = timedelta(days=1)


def declare(**forecast):
    values = yaml.safe_load(DATA)
    values["forecast"] |= forecast
    return Data.model_validate(values)


@pytest.fixture
def folder(tmp_path):
    make_sales().write_parquet(tmp_path / "sales.parquet")
    return tmp_path


def make_examples(folder, data):
    made = build_examples(data, root=folder, now=NOW, scratch=folder)
    return pl.concat(made.take(split) for split in SPLITS)


def test_a_forecast_says_when_its_examples_are_predicted_and_what_they_know():
    data = declare()

    assert data.examples.predict_at == "day - step * INTERVAL '1 day'"
    assert data.examples.known == ["weekday", "open", "shop", "day", "step"]
    assert data.tables["sales"].known_at == "day"
    assert data.answer == "regression"
    assert Data.model_validate(data.model_dump()) == data  # a resolved.yaml is read as it was written


def test_every_row_is_an_example_of_each_step_of_each_origin(folder):
    examples = make_examples(folder, declare())

    assert examples["row"].n_unique() == len(examples)
    assert not examples.select("shop", "day", "step").is_duplicated().any()
    assert set(examples["step"]) == set(range(1, HORIZON + 1))
    assert (examples["day"] - examples[PREDICT_AT] == examples["step"] * DAY).all()


def test_origins_are_as_far_apart_as_declared_from_a_monday_on(folder):
    examples = make_examples(folder, declare(every="1w"))

    assert set(examples[PREDICT_AT].dt.weekday()) == {1}
    late = make_sales().with_columns(pl.col("day") + timedelta(days=6))  # a grid of Sundays alone has them as origins
    late.filter(pl.col("day").dt.weekday() == 7).write_parquet(folder / "sales.parquet")
    assert set(make_examples(folder, declare(frequency="1w", every="1w"))[PREDICT_AT].dt.weekday()) == {7}


def test_no_example_knows_what_comes_after_its_origin(folder):
    """By brute force, for each column that is looked up."""
    sales = make_sales()
    examples = make_examples(folder, declare()).sample(60, seed=1)

    for row in examples.iter_rows(named=True):
        own = sales.filter((pl.col("shop") == row["shop"]) & (pl.col("day") <= row[PREDICT_AT])).sort("day")
        month = own.filter(pl.col("day") > row[PREDICT_AT] - 28 * DAY)
        alike = own.filter(pl.col("day").dt.weekday() == row["day"].isoweekday())
        newest = own.filter(pl.col("day") >= row[PREDICT_AT] - 7 * DAY)
        assert row["last_sold"] == (newest["sold"][-1] if len(newest) else None)
        assert row["week_before"] == (alike["sold"][-1] if len(alike) else None)
        assert row["mean_month"] == pytest.approx(month["sold"].mean())
        usual = month.filter(pl.col("day").dt.weekday() == row[PREDICT_AT].isoweekday())
        assert row["usual"] == (pytest.approx(usual["sold"].mean()) if len(usual) else None)
        assert row[LABEL] == sales.filter(shop=row["shop"], day=row["day"])["sold"].item()


def test_the_series_are_kept_whole_whatever_the_split_leaves_out(folder):
    prepare(declare(), root=folder, folder=folder / "examples", now=NOW, unsplit=None)

    series = pl.read_parquet(folder / "examples/series.parquet")
    assert len(series) == 2 * DAYS - 1
    assert '"missing_values": 1' in (folder / "examples/summary.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            pl.col("day") + pl.duration(hours=pl.col("sold") % 2 // 1), "off the grid of 1d", id="off the grid"
        ),
        pytest.param(pl.col("day").dt.truncate("2d"), "share series and time with another", id="twice"),
    ],
)
def test_rows_that_are_no_series_are_refused(folder, change, message):
    values = yaml.safe_load(DATA)
    values["tables"]["sales"]["key"] = []
    make_sales().with_columns(change.alias("day")).write_parquet(folder / "sales.parquet")

    with pytest.raises(TreadleError, match=message):
        make_examples(folder, Data.model_validate(values))


# --- the next values ----------------------------------------------------------------------------------


def predict_next(folder, sales, *, at):
    sales.write_parquet(folder / "new.parquet")
    made = build_unlabelled(
        declare(), files={"sales": "new.parquet"}, at=at, root=folder, now=NOW, scratch=folder / "scratch"
    )
    return made.take(0, len(made.rows))


def test_the_next_values_of_each_series_are_asked_for_that_no_row_holds_yet(folder):
    at = START + timedelta(days=DAYS - 1)

    rows = predict_next(folder, make_sales(), at=at + timedelta(hours=5))

    assert set(rows[PREDICT_AT]) == {at}  # the last value of the grid
    for shop in ("east", "west"):
        own = rows.filter(shop=shop).sort("step")
        assert own["step"].to_list() == list(range(1, HORIZON + 1))
        assert own["weekday"].to_list() == [(at + step * DAY).isoweekday() % 7 for step in own["step"]]
        assert own["open"].null_count() == HORIZON


def test_rows_that_are_to_come_may_hold_what_is_known_in_advance(folder):
    at = START + timedelta(days=DAYS - 1)
    planned = pl.DataFrame({"shop": ["east"], "day": [at + 2 * DAY], "open": [False]})

    rows = predict_next(folder, pl.concat([make_sales(), planned], how="diagonal"), at=at)

    assert len(rows) == 2 * HORIZON
    assert rows.filter(shop="east", step=2)["open"].to_list() == [False]


def test_the_past_is_predicted_as_it_was_in_training(folder):
    """What is asked at a moment of the past is what the examples hold."""
    at = START + timedelta(days=110)

    asked = predict_next(folder, make_sales(), at=at).drop("row").sort("shop", "step")

    examples = make_examples(folder, declare(every="1d")).filter(pl.col(PREDICT_AT) == at).sort("shop", "step")
    assert asked.equals(examples.select(asked.columns))


def test_a_moment_before_all_values_is_refused(folder):
    with pytest.raises(TreadleError, match="no row of the series is at 2023-01-01 00:00:00 or before"):
        predict_next(folder, make_sales(), at=datetime(2023, 1, 1))  # noqa: DTZ001
