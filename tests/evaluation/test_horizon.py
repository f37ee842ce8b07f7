"""A forecast from end to end: trained, judged by step, and asked for the next values, by file and by server."""

import contextlib
import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from forecasts import DAYS, HORIZON, START, TEST_FROM, make_forecast_project, make_sales
from runs import find_run, treadle
from treadle.bundle import load
from treadle.online.feeds import Online

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sales")
    make_forecast_project(folder)
    with contextlib.chdir(folder):
        assert treadle("run", "experiment=sales", "tracker=disabled") == 0
    return folder


@pytest.fixture
def run(project, monkeypatch):
    monkeypatch.chdir(project)
    return find_run(project)


def read(run):
    return json.loads((run / "evaluation/parts/horizon.json").read_text())


def forecast_naively(examples):
    """The last value, that a week before, and the drift, of each example: by brute force."""
    values = {(row["shop"], row["day"]): row["sold"] for row in make_sales().iter_rows(named=True)}
    found = {"last_value": [], "seasonal": [], "drift": []}
    for row in examples.iter_rows(named=True):
        shop, origin = row["shop"], row["predict_at"]
        last = next(day for day in (origin - back * DAY for back in range(9)) if (shop, day) in values)
        week = next(d for d in (row["day"] - back * 7 * DAY for back in (1, 2)) if (shop, d) in values)
        slope = (values[shop, last] - values[shop, START]) / ((last - START) / DAY)
        found["last_value"].append(values[shop, last])
        found["seasonal"].append(values[shop, week])
        found["drift"].append(values[shop, last] + slope * ((row["day"] - last) / DAY))
    return found


def scale(last_of_training):
    """The mean change within a week of each shop, until the last label of the training split."""
    sales = make_sales().filter(pl.col("day") <= last_of_training)
    before = sales.select("shop", pl.col("day") + 7 * DAY, before="sold")
    changes = sales.join(before, on=["shop", "day"])
    return {
        shop: (own["sold"] - own["before"]).abs().mean()
        for (shop,), own in changes.partition_by("shop", as_dict=True).items()
    }


@pytest.mark.slow
def test_naive_forecasts_and_their_scaled_errors_are_those_of_the_textbook(run):
    test = pl.read_parquet(run / "examples/test.parquet")
    last = pl.read_parquet(run / "examples/train.parquet")["day"].max()
    scales = np.array([scale(last)[shop] for shop in test["shop"]])

    found = read(run)

    assert test["predict_at"].min() == TEST_FROM
    assert found["origins"] == DAYS - 105 - 1
    for name, values in forecast_naively(test).items():
        errors = np.abs(test["label"].to_numpy() - np.array(values))
        assert found["mase"][name]["value"] == pytest.approx((errors / scales).mean()), name
        assert found["wape"][name]["value"] == pytest.approx(errors.sum() / test["label"].abs().sum()), name
        third = test["step"].to_numpy() == 3
        assert found["steps"]["3"]["mase"][name]["value"] == pytest.approx((errors / scales)[third].mean()), name


@pytest.mark.slow
def test_the_model_is_judged_by_step_with_the_coverage_and_the_loss_of_its_intervals(run):
    predicted = pl.read_parquet(run / "evaluation/predictions.parquet")
    label = pl.read_parquet(run / "examples/test.parquet")["label"]

    found = read(run)

    assert predicted.columns == ["row", "shop", "day", "step", "prediction", "low", "high"]
    inside = (predicted["low"] <= label) & (label <= predicted["high"])
    for step in range(1, HORIZON + 1):
        share = inside.filter(predicted["step"] == step).mean()
        assert found["steps"][str(step)]["coverage"]["value"] == pytest.approx(share)
    error = label - predicted["low"]
    loss = pl.select(pl.max_horizontal(0.05 * error, -0.95 * error)).to_series().mean()
    assert found["pinball"]["0.05"]["value"] == pytest.approx(loss)
    gain = found["gain"]["seasonal"]
    assert gain["value"] == pytest.approx(1 - found["mase"]["model"]["value"] / found["mase"]["seasonal"]["value"])
    assert gain["low"] < gain["value"] < gain["high"]


def test_the_report_and_the_check_tell_it(run):
    page = (run / "evaluation/report.html").read_text()
    checks = json.loads((run / "evaluation/checks.json").read_text())

    assert "Forecasts by step" in page
    assert "MASE by step" in page
    found = checks["better_than_naive"]
    found = checks["better_than_naive"]
    assert found["outcome"] == ("pass" if found["evidence"]["low"] > 0 else "fail")
    assert "below that of the" in found["sentence"]


@pytest.mark.slow
def test_the_next_values_are_predicted_from_raw_tables(run, tmp_path, capsys):
    """Of a moment of the test split, what the evaluation has predicted."""
    at = START + 120 * DAY
    make_sales().filter(pl.col("day") <= at).write_parquet(tmp_path / "known.parquet")
    tables = ["--tables", f"sales={tmp_path / 'known.parquet'}", "--at", f"{at:%Y-%m-%d}"]

    assert treadle("predict", str(run), *tables, "-o", str(tmp_path / "out.parquet")) == 0

    capsys.readouterr()
    made = pl.read_parquet(tmp_path / "out.parquet").sort("shop", "step")
    known = pl.read_parquet(run / "evaluation/predictions.parquet").filter(pl.col("day") - DAY * pl.col("step") == at)
    assert made.select("shop", "day", "step").equals(known.sort("shop", "step").select("shop", "day", "step"))
    np.testing.assert_allclose(made["prediction"], known.sort("shop", "step")["prediction"], rtol=1e-5)


def test_a_server_answers_for_the_next_values_what_a_batch_does(run, tmp_path):
    """Events come in, then rows that are to come are asked, each with its step."""
    at = START + 120 * DAY
    bundle = load(run / "bundle")
    online = Online(bundle.recipe.data, files={}, log=None, root=tmp_path, now=at, scratch=tmp_path)
    past = make_sales().filter(pl.col("day") <= at).with_columns(pl.col("day").cast(pl.String))
    online.add("sales", [past.to_dicts()], now=at)
    steps = range(1, HORIZON + 1)
    asked = [{"shop": "east", "day": f"{at + s * DAY}", "step": s, "open": (120 + s) % 7 != 6} for s in steps]

    answers = bundle.predict(online.complete(asked, moments=[at] * len(asked)))

    known = pl.read_parquet(run / "evaluation/predictions.parquet").filter(pl.col("day") - DAY * pl.col("step") == at)
    np.testing.assert_allclose(answers["prediction"], known.filter(shop="east").sort("step")["prediction"], rtol=1e-5)
