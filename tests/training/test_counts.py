"""Counts from the table to the server: means above 0, rates times exposures, and what is refused."""

import json

import numpy as np
import polars as pl
import pytest

from runs import find_run, treadle
from shops import find_rates, make_shops_project
from treadle.bundle import load
from treadle.serving.scorer import Scorer


@pytest.fixture
def project(tmp_path, monkeypatch):
    make_shops_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(project, *overrides):
    assert treadle("run", "experiment=shops", "tracker=disabled", *overrides) == 0
    return find_run(project)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["linear", pytest.param("lightgbm", marks=pytest.mark.slow)])
def test_a_count_is_a_rate_times_the_exposure(project, model):
    folder = run(project, f"model={model}")
    bundle, rows = load(folder), pl.read_parquet(folder / "examples/test.parquet")

    predicted = bundle.predict(rows)["prediction"].to_numpy()
    twice = bundle.predict(rows.with_columns(days=2 * pl.col("days")))["prediction"].to_numpy()

    assert np.allclose(twice, 2 * predicted, rtol=1e-5)
    error = np.log(predicted) - np.log(find_rates(rows) * rows["days"].to_numpy())
    assert np.sqrt((error**2).mean()) < (0.1 if model == "linear" else 0.25)
    answers = Scorer(bundle).ask(rows.select("size", "kind", "days").head(20).to_dicts())
    assert [answer.prediction["prediction"] for answer in answers] == pytest.approx(predicted[:20].tolist())


@pytest.mark.slow
def test_an_evaluation_judges_by_deviance_beside_a_poisson_regression(project):
    folder = run(project)

    results = json.loads((folder / "evaluation/metrics.json").read_text())

    assert list(results["model"]) == ["poisson_deviance", "d2", "mae", "rmse"]
    by_deviance = {name: values["poisson_deviance"] for name, values in results.items()}
    assert by_deviance["linear"] < 1.3  # of counts around their means it is about 1
    assert by_deviance["model"] < 1.2 * by_deviance["linear"]
    assert by_deviance["prior"] > 10 * by_deviance["linear"]
    assert results["linear"]["d2"] > 0.9
    curve = pl.read_csv(folder / "evaluation/plots/calibration.csv")
    assert (curve["predicted"] / curve["observed"] - 1).abs().tail(5).max() < 0.1
    reference = json.loads((folder / "evaluation/intervals.json").read_text())
    assert reference["intervals"]["model"]["d2"]["low"] > 0.9


@pytest.mark.parametrize(
    ("label", "rule"),
    [("visits / 2", "a count is a whole number from 0 on"), ("visits - 5", "a count is a whole number from 0 on")],
    ids=["fraction", "negative"],
)
def test_what_is_no_count_is_refused(project, capsys, label, rule):
    assert treadle("train", "experiment=shops", f"data.examples.label='{label}'") == 2

    assert f"data.examples.label: {rule}; it is not in " in capsys.readouterr().err


def test_an_exposure_of_0_is_refused(project, capsys):
    shops = pl.read_parquet("shops.parquet")
    shops.with_columns(days=pl.col("days") - 1).write_parquet("shops.parquet")

    overrides = ("data.tables.shops.columns.days.min=0",)
    assert treadle("train", "experiment=shops", "tracker=disabled", *overrides) == 2

    assert "an exposure is a number above 0; 'days' is not in " in capsys.readouterr().err


def test_an_exposure_without_a_logarithm_is_refused(project, capsys):
    assert treadle("check", "experiment=shops", "data.task=regression", "evaluation.metric=rmse") == 2

    assert "an exposure multiplies a count or an amount above 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tweedie_loss_takes_amounts_that_are_often_0(project):
    overrides = ("data.task=regression", "loss=tweedie", "evaluation.metric=mae", "data.examples.label='visits * 1.5'")
    folder = run(project, *overrides)
    rows = pl.read_parquet(folder / "examples/test.parquet")

    predicted = load(folder).predict(rows)["prediction"].to_numpy()

    assert predicted.min() > 0
    error = np.log(predicted) - np.log(1.5 * find_rates(rows) * rows["days"].to_numpy())
    assert np.sqrt((error**2).mean()) < 0.15
