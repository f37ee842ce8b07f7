"""Several quantiles from the table to the server."""

import json

import polars as pl
import pytest

from runs import treadle
from treadle.bundle import BlendBundle, load
from treadle.evaluation.parity import read_outputs
from treadle.metrics.log import read_metrics_log
from treadle.serving.scorer import Scorer

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second

QUANTILES = ("loss=quantiles", "tracker=disabled", "schedule.max_epochs=8", "schedule.batch_size=256")
LEVELS = [0.05, 0.5, 0.95]


@pytest.fixture(scope="module")
def run(run_once):
    (folder,) = run_once(*QUANTILES, "+evaluation.conformal={coverage: 0.9}").glob("california-*")
    return folder


def test_predictions_have_a_column_for_each_level(run):
    bundle, rows = load(run), pl.read_parquet(run / "examples/test.parquet")

    predicted = bundle.predict(rows)

    assert predicted.columns == ["row", "prediction", "q5", "q95", "low", "high"]
    assert (predicted["q5"] <= predicted["prediction"]).all()
    assert (predicted["prediction"] <= predicted["q95"]).all()
    inside = ((predicted["q5"] <= rows["label"]) & (rows["label"] <= predicted["q95"])).mean()
    assert 0.8 < inside < 0.96
    assert ((predicted["low"] <= rows["label"]) & (rows["label"] <= predicted["high"])).mean() == pytest.approx(
        0.9, abs=0.03
    )


def test_the_loss_is_the_mean_pinball_loss_and_the_metrics_are_of_the_median(run):
    bundle, rows = load(run), pl.read_parquet(run / "examples/valid.parquet")
    best = json.loads((run / "model/summary.json").read_text())["best_epoch"]
    last = next(row for row in read_metrics_log(run / "metrics.csv") if row["epoch"] == best)

    found = read_outputs(bundle.predict(rows), bundle).numpy()

    error = rows["label"].to_numpy()[:, None] - found
    pinball = sum((error[:, k] * (level - (error[:, k] < 0))).mean() for k, level in enumerate(LEVELS)) / 3
    assert last["valid/loss"] == pytest.approx(pinball / bundle.card.target.scale, rel=1e-3)
    assert last["valid/mae"] == pytest.approx(abs(error[:, 1]).mean(), rel=1e-3)


def test_an_evaluation_tells_loss_and_coverage_of_each_level(run):
    part = json.loads((run / "evaluation/parts/quantiles.json").read_text())

    assert list(part["levels"]) == ["0.05", "0.5", "0.95"]
    assert part["crossed"] == 0
    assert part["pinball"]["value"] < 0.6 * part["constant"]["value"]
    assert part["levels"]["0.5"]["below"]["value"] == pytest.approx(0.5, abs=0.06)
    pair = part["pairs"]["0.05 to 0.95"]
    assert pair["declared"] == 0.9
    assert pair["coverage"]["low"] < pair["coverage"]["value"] < pair["coverage"]["high"]
    assert "share below" in (run / "evaluation/report.html").read_text()
    assert json.loads((run / "evaluation/parity.json").read_text())["largest_difference"] < 1e-6


def test_a_server_answers_with_all_of_them(run):
    bundle, rows = load(run), pl.read_parquet(run / "examples/test.parquet").head(20)

    scorer = Scorer(bundle)
    answers = scorer.ask(rows.select(list(bundle.columns)).to_dicts())

    assert list(scorer.outputs) == ["prediction", "q5", "q95", "low", "high"]
    predicted = bundle.predict(rows).drop("row")
    assert pl.DataFrame([answer.prediction for answer in answers]).equals(predicted)


def test_a_graph_gives_all_of_them(run, tmp_path):
    pytest.importorskip("onnxruntime")
    assert treadle("export", str(run), "--to", "onnx", "-o", str(tmp_path / "graph")) == 0

    signature = json.loads((tmp_path / "graph/signature.json").read_text())
    assert (signature["output"], signature["levels"]) == ("quantiles", LEVELS)
    assert "`[rows, 3]`, for the quantiles 0.05, 0.5, 0.95" in (tmp_path / "graph/README.md").read_text()


def test_a_blend_mixes_level_by_level(run):
    one = load(run)
    other = load(run)
    for parameter in other.model.parameters():
        parameter.data *= 0.5
    weights = {"one": 0.25, "other": 0.75}
    both = BlendBundle(one.card.model_copy(update={"members": weights}), one.recipe, {"one": one, "other": other})
    rows = pl.read_parquet(run / "examples/test.parquet").head(50)

    found = both.predict(rows)

    for name in ("q5", "prediction", "q95"):
        expected = 0.25 * one.predict(rows)[name] + 0.75 * other.predict(rows)[name]
        assert found[name].to_list() == pytest.approx(expected.to_list())
    assert (found["q5"] <= found["q95"]).all()
