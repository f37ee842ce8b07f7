"""The verdict: baselines, curves, parity, and the report."""

import csv
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
import torch

from runs import find_run, run_quick, treadle
from treadle.bundle import load
from treadle.evaluation.baselines import fit_baseline
from treadle.evaluation.curves import draw_curves, read_curves
from treadle.evaluation.evaluate import check_parity
from treadle.features.featurizer import Inputs
from treadle.schema import Batch, TreadleError

BASELINES = "evaluation.baselines=[prior,linear,gradient_boosting]"


def make_rows(num_rows=600, task="binary"):
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(num_rows, 3, generator=generator)
    ids = torch.randint(3, (num_rows, 1), generator=generator)
    signal = numeric[:, 0] + (ids[:, 0] == 1)
    target = {
        "binary": (signal > 0).float(),
        "multiclass": (signal > 0).long() + (signal > 1).long(),
        "regression": signal,
    }
    return Batch(numeric, ids, target[task], torch.ones(num_rows))


def fit(name, task):
    rows = make_rows(task=task)
    num_classes = 3 if task == "multiclass" else 0
    predict = fit_baseline(name, rows, task=task, num_classes=num_classes, cardinalities=[3], seed=0)
    return rows, predict(Inputs(rows.numeric, rows.ids))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_prior_is_the_mean_of_the_target(task):
    rows, predicted = fit("prior", task)

    if task == "multiclass":
        assert torch.allclose(predicted[0], rows.target.bincount() / len(rows.target))
    else:
        assert predicted[0] == pytest.approx(float(rows.target.mean()), abs=1e-6)
    assert (predicted == predicted[0]).all()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("name", ["linear", "gradient_boosting"])
def test_a_baseline_learns(name, task):
    rows, predicted = fit(name, task)

    if task == "regression":
        assert (predicted - rows.target).square().mean() < 0.1 * rows.target.var()
    else:
        decided = predicted.argmax(dim=1) if task == "multiclass" else predicted > 0.5
        assert (decided == rows.target).float().mean() > 0.9


def test_the_linear_baseline_of_a_regression_is_least_squares():
    rows, predicted = fit("linear", "regression")

    words = np.eye(3)[rows.ids[:, 0].numpy()]
    design = np.concatenate([rows.numeric.numpy(), words], axis=1)
    solution, *_ = np.linalg.lstsq(design, rows.target.numpy(), rcond=None)
    assert np.allclose(predicted.numpy(), design @ solution, atol=1e-2)


@pytest.mark.parametrize(
    ("task", "kinds"), [("binary", ["roc", "precision_recall", "calibration"]), ("regression", ["calibration"])]
)
def test_curves_run_from_end_to_end(task, kinds, tmp_path):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(5000, generator=generator)
    target = torch.rand(5000, generator=generator) < prediction

    curves = draw_curves(task=task, prediction=prediction, target=target, num_bins=10)
    for curve in curves:
        curve.write(tmp_path)

    assert [curve.name for curve in curves] == kinds
    assert [c.rows for c in read_curves(tmp_path)] == [c.rows for c in curves]
    roc = curves[0].rows
    if task == "binary":
        assert (roc[0], roc[-1]) == (
            {"false_positive_rate": 0.0, "true_positive_rate": 0.0},
            {"false_positive_rate": 1.0, "true_positive_rate": 1.0},
        )
        assert len(roc) <= 202
    bins = curves[-1].rows
    assert len(bins) == 10
    assert all(abs(row["predicted"] - row["observed"]) < 0.1 for row in bins)


def test_one_class_alone_has_no_curves():
    assert draw_curves(task="binary", prediction=torch.rand(5), target=torch.zeros(5), num_bins=3) == []


# --- the stage --------------------------------------------------------------------------------------------


@pytest.fixture
def finished(project, run_once):
    shutil.copytree(run_once("tracker=disabled", BASELINES), project / "runs")
    return find_run(project)


def test_metrics_stand_beside_their_baselines(finished):
    metrics = json.loads((finished / "evaluation" / "metrics.json").read_text())

    assert list(metrics) == ["model", "prior", "linear", "gradient_boosting"]
    assert metrics["gradient_boosting"]["rmse"] < metrics["linear"]["rmse"] < metrics["prior"]["rmse"]
    assert metrics["prior"]["r2"] == pytest.approx(0, abs=1e-3)


def test_metrics_are_those_of_the_written_predictions(finished):
    predicted = pl.read_parquet(finished / "evaluation" / "predictions.parquet")
    truth = pl.read_parquet(finished / "examples" / "test.parquet")
    both = predicted.join(truth, on="row")

    metrics = json.loads((finished / "evaluation" / "metrics.json").read_text())["model"]

    assert len(both) == len(truth)
    assert metrics["rmse"] == pytest.approx(((both["prediction"] - both["label"]) ** 2).mean() ** 0.5, rel=1e-6)


def test_a_difference_between_batch_and_row_is_refused(finished):
    bundle = load(finished)
    rows = pl.read_parquet(finished / "examples" / "test.parquet").head(50)
    predicted = bundle.predict(rows)
    assert check_parity(bundle, rows.lazy(), predicted, num_rows=10)["rows"] == 10
    assert check_parity(bundle, rows.lazy(), predicted, num_rows=0)["rows"] == 0

    shifted = predicted.with_columns(pl.col("prediction") + 1e-3)

    with pytest.raises(TreadleError, match=r"parity: a row alone and in a batch differ by 0\.00"):
        check_parity(bundle, rows.lazy(), shifted, num_rows=10)


def test_the_rounding_of_a_wide_target_is_no_difference(finished):
    bundle = replace(load(finished), target_mean=0.0, target_scale=4000.0)  # as if in dollars
    rows = pl.read_parquet(finished / "examples" / "test.parquet").head(50)
    predicted = bundle.predict(rows)

    rounded, shifted = (predicted.with_columns(pl.col("prediction") + by * 4000) for by in (5e-7, 5e-6))

    assert check_parity(bundle, rows.lazy(), rounded, num_rows=10)["rows"] == 10
    with pytest.raises(TreadleError, match="parity"):
        check_parity(bundle, rows.lazy(), shifted, num_rows=10)


class Page(HTMLParser):
    """What a page needs from elsewhere, and its text."""

    def __init__(self, text):
        super().__init__()
        self.outside, self.text, self.tags = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.outside += [v for k, v in attrs if k in {"src", "href"} and v and not v.startswith("#")]

    def handle_data(self, data):
        self.text += data


def test_the_report_is_one_self_contained_page(finished):
    page = Page((finished / "evaluation" / "report.html").read_text())

    assert page.outside == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 3
    for word in ("RMSE", "gradient_boosting", "13,210 rows", "best epoch", "judged one by one"):
        assert word in page.text


def test_names_from_the_configuration_are_escaped(project):
    run_quick("tracker=disabled", "tracker.tags=['<b onclick=x>']")

    text = (find_run(project) / "evaluation" / "report.html").read_text()

    assert "<b onclick" not in text
    assert "&lt;b onclick" in text


@pytest.mark.slow
def test_a_multiclass_task_goes_the_whole_way(project):
    """adult, asked for the relationship instead of the income."""
    text = (project / "conf" / "data" / "adult.yaml").read_text()
    text = text.replace("task: binary", "task: multiclass").replace("label: income = '>50K'", "label: relationship")
    (project / "conf" / "data" / "adult.yaml").write_text(
        re.sub(r"occupation, relationship, race", "occupation, race", text)
    )
    features = project / "conf" / "features" / "adult.yaml"
    features.write_text(features.read_text().replace("occupation, relationship, race", "occupation, race"))

    longer = ["schedule.max_epochs=6", "schedule.batch_size=256"]
    assert run_quick("experiment=adult", "tracker=disabled", BASELINES, "evaluation.metric=accuracy", *longer) == 0

    folder = find_run(project)
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    predicted = pl.read_parquet(folder / "evaluation" / "predictions.parquet")
    shares = predicted.select(pl.col("^probability_.*$"))
    assert metrics["model"]["accuracy"] > metrics["prior"]["accuracy"] + 0.1
    assert metrics["gradient_boosting"]["accuracy"] > metrics["linear"]["accuracy"] > metrics["prior"]["accuracy"]
    assert shares.width == 6
    assert np.allclose(shares.sum_horizontal(), 1, atol=1e-5)
    assert set(predicted["prediction"]) <= {name.removeprefix("probability_") for name in shares.columns}


# --- compare ----------------------------------------------------------------------------------------------


@pytest.fixture
def two_runs(project, run_once):
    for overrides in ((), ("model.width=64", "schedule.max_epochs=3")):
        shutil.copytree(run_once("tracker=disabled", *overrides), project / "runs", dirs_exist_ok=True)
    return sorted(path.parent for path in project.glob("runs/*/stages.json"))


def test_compare_tells_configuration_apart_from_metrics(two_runs, capsys):
    capsys.readouterr()

    assert treadle("compare") == 0

    config, metrics = capsys.readouterr().out.split("Test metrics")
    assert "model.width" in config
    assert "schedule.max_epochs" in config
    assert "seed" not in config
    assert "rmse" not in config.lower()
    assert metrics.count("*") == 3
    assert all(folder.name in metrics for folder in two_runs)


def test_compare_marks_the_best_of_comparable_runs_only(two_runs, project, capsys):
    run_quick("experiment=california", "tracker=disabled", "data.split.seed=1")
    capsys.readouterr()

    treadle("compare")

    assert "*" not in capsys.readouterr().out


def test_compare_writes_one_self_contained_page(two_runs, project):
    assert treadle("compare", *map(str, two_runs), "--html", "out/page.html") == 0

    page = Page((project / "out" / "page.html").read_text())
    assert page.outside == []
    assert page.tags.count("svg") >= 3
    assert "model.width" in page.text
    assert all(folder.name in page.text for folder in two_runs)


def test_the_history_is_a_plain_table(finished):
    rows = list(csv.DictReader((finished / "metrics.csv").read_text().splitlines()))

    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["valid/rmse"]) > 0
