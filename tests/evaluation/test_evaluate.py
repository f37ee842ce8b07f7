"""The stage: metrics beside their baselines, parity of batch and row, and the report."""

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

from browser import needs_chromium, open_page, probe_page
from runs import find_run, run_quick
from treadle.bundle import Standard, load, save
from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.errors import TreadleError
from treadle.evaluation.conclusion import conclude, decide
from treadle.evaluation.evaluate import evaluate
from treadle.evaluation.parity import check_parity
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.metrics.log import read_metrics_log
from treadle.outcomes import Finding, failed, passed

BASELINES = "evaluation.baselines=[prior,linear,gradient_boosting]"


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ({"model": 0.5}, "RMSE 0.5000 on 1,000 test rows."),
        (
            {"model": 0.5, "prior": 1.0, "linear": 0.75},
            "RMSE 0.5000 on 1,000 test rows: 0.2500 better than the best baseline, linear (0.7500).",
        ),
        (
            {"model": 0.5, "prior": float("nan"), "gradient_boosting": 0.25},
            "RMSE 0.5000 on 1,000 test rows: 0.2500 worse than the best baseline, gradient boosting (0.2500).",
        ),
        (
            {"model": 0.5, "linear": 0.5},
            "RMSE 0.5000 on 1,000 test rows: the same as the best baseline, linear (0.5000).",
        ),
        (
            {"model": 1e-7, "linear": 3e-7},
            "RMSE 1e-07 on 1,000 test rows: 2e-07 better than the best baseline, linear (3e-07).",
        ),
        ({"model": float("nan"), "linear": 0.5}, "RMSE is not defined on the 1,000 test rows."),
    ],
    ids=["alone", "better", "worse", "same", "tiny", "undefined"],
)
def test_the_result_is_one_sentence(root, results, sentence):
    experiment = check(compose(overrides=["experiment=california"], root=root))

    found = conclude({who: {"rmse": value} for who, value in results.items()}, experiment, num_rows=1000)

    assert found == sentence


@pytest.mark.parametrize(
    ("failures", "state", "sentence"),
    [
        ([], "pass", "No check stands in the way of this model."),
        (["note", "warning"], "pass", "No check stands in the way of this model; one warning is worth reading."),
        (["warning", "blocker"], "fail", "The gate would refuse this model: “Blocker fails” failed."),
        (["a", "b"], "fail", "The gate would refuse this model: “A fails” and “B fails” failed."),
    ],
    ids=["all hold", "warning", "blocker", "two blockers"],
)
def test_the_decision_is_one_sentence(failures, state, sentence):
    checks = [Finding("held", "Held", "blocker", passed("yes"))]
    known = {"note", "warning"}
    checks += [Finding(f, f"{f.capitalize()} fails", f if f in known else "blocker", failed("no")) for f in failures]

    assert decide(checks) == (state, sentence)


@pytest.fixture
def finished(project, run_once):
    shutil.copytree(run_once("tracker=disabled", BASELINES, "evaluation.slices.columns=[HouseAge]"), project / "runs")
    return find_run(project)


@pytest.mark.slow
def test_metrics_stand_beside_their_baselines(finished):
    metrics = json.loads((finished / "evaluation" / "metrics.json").read_text())

    assert list(metrics) == ["model", "prior", "linear", "gradient_boosting"]
    assert metrics["gradient_boosting"]["rmse"] < metrics["linear"]["rmse"] < metrics["prior"]["rmse"]
    assert metrics["prior"]["r2"] == pytest.approx(0, abs=1e-3)


@pytest.mark.slow
def test_metrics_are_those_of_the_written_predictions(finished):
    predicted = pl.read_parquet(finished / "evaluation" / "predictions.parquet")
    truth = pl.read_parquet(finished / "examples" / "test.parquet")
    both = predicted.join(truth, on="row")

    metrics = json.loads((finished / "evaluation" / "metrics.json").read_text())["model"]

    assert len(both) == len(truth)
    assert metrics["rmse"] == pytest.approx(((both["prediction"] - both["label"]) ** 2).mean() ** 0.5, rel=1e-6)


@pytest.mark.slow
def test_each_metric_lies_within_its_interval(finished):
    metrics = json.loads((finished / "evaluation" / "metrics.json").read_text())

    found = json.loads((finished / "evaluation" / "intervals.json").read_text())

    assert found["blocks"] == {"unit": "row", "count": 4128}
    assert list(found["intervals"]) == list(metrics)
    for name, values in metrics.items():
        for metric, value in values.items():
            assert found["intervals"][name][metric]["low"] < value < found["intervals"][name][metric]["high"]
    gain = found["differences"]["prior"]["rmse"]
    assert gain["low"] < gain["value"] == pytest.approx(metrics["model"]["rmse"] - metrics["prior"]["rmse"])
    assert "which is beyond noise" in (finished / "evaluation" / "report.html").read_text()


@pytest.mark.slow
def test_slices_are_judged_and_shown(finished):
    found = json.loads((finished / "evaluation/parts/slices.json").read_text())

    page = (finished / "evaluation" / "report.html").read_text()
    assert len(found["declared"]) == 5
    assert sum(values["rows"] for values in found["declared"].values()) == 4128
    assert all(name in page for name in found["declared"])
    assert {one["confirmed"] for one in found["worst"]} <= {True, False}
    assert " and ".join(found["worst"][0]["conditions"]) in page


@pytest.mark.slow
def test_a_difference_between_batch_and_row_is_refused(finished):
    bundle = load(finished)
    rows = pl.read_parquet(finished / "examples" / "test.parquet").head(50)
    predicted = bundle.predict(rows)
    assert check_parity(bundle, rows.lazy(), predicted, num_rows=10)["rows"] == 10
    assert check_parity(bundle, rows.lazy(), predicted, num_rows=0)["rows"] == 0

    shifted = predicted.with_columns(pl.col("prediction") + 1e-3)

    with pytest.raises(TreadleError, match=r"parity: a row alone and in a batch differ by 0\.00"):
        check_parity(bundle, rows.lazy(), shifted, num_rows=10)


@pytest.mark.slow
def test_a_row_alone_that_gets_no_number_is_refused(finished):
    """As of a model that normalises by the other rows of the batch."""

    class Normalised(torch.nn.Module):
        def forward(self, numeric, _):
            mean = numeric.mean(dim=1, keepdim=True)
            return (mean - mean.mean()) / mean.std(correction=0)

    bundle = load(finished)
    bundle = replace(bundle, model=Normalised())
    rows = pl.read_parquet(finished / "examples" / "test.parquet").head(50)

    with pytest.raises(TreadleError, match="parity: a row alone and in a batch differ by inf"):
        check_parity(bundle, rows.lazy(), bundle.predict(rows), num_rows=2)


@pytest.mark.slow
def test_the_rounding_of_a_wide_target_is_no_difference(finished):
    bundle = load(finished)
    dollars = bundle.card.model_copy(update={"target": Standard(mean=0.0, scale=4000.0)})
    bundle = replace(bundle, card=dollars)
    rows = pl.read_parquet(finished / "examples" / "test.parquet").head(50)
    predicted = bundle.predict(rows)

    rounded, shifted = (predicted.with_columns(pl.col("prediction") + by * 4000) for by in (5e-7, 5e-6))

    assert check_parity(bundle, rows.lazy(), rounded, num_rows=10)["rows"] == 10
    with pytest.raises(TreadleError, match="parity"):
        check_parity(bundle, rows.lazy(), shifted, num_rows=10)


@pytest.mark.slow
def test_the_rounding_of_a_row_far_outside_of_training_is_no_difference(finished):
    """Terms of a million, which nearly cancel: float32 rounds their sum by more than the prediction's own digits."""
    bundle = load(finished)
    first = bundle.model.layers[0]
    with torch.no_grad():
        first.weight.mul_(1e6)
        first.bias.mul_(1e6)
        bundle.model.head.weight.mul_(1e-4)
    rows = pl.read_parquet(finished / "examples" / "test.parquet").head(50)
    predicted = bundle.predict(rows)

    rounded, shifted = (predicted.with_columns(pl.col("prediction") + by) for by in (1e-5, 1e-2))

    assert check_parity(bundle, rows.lazy(), rounded, num_rows=10)["largest_difference"] < 1e-6
    with pytest.raises(TreadleError, match="parity"):
        check_parity(bundle, rows.lazy(), shifted, num_rows=10)


@pytest.mark.sampled_cases(1)
@pytest.mark.slow
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "in memory"])
def test_a_target_of_moments_is_predicted_like_one_of_minutes(finished, project, streamed):
    """1.7e9 seconds and some: float32 holds multiples of 128 there."""
    plain = json.loads((finished / "evaluation" / "metrics.json").read_text())
    how = ["schedule.shuffle_buffer=100000"] if streamed else [BASELINES]
    wide = "data.examples.label='MedHouseVal * 60 + 1700000000'"

    assert run_quick("tracker=disabled", "name=moments", wide, *how) == 0

    (run,) = project.glob("runs/moments-*")
    metrics = json.loads((run / "evaluation" / "metrics.json").read_text())
    logs = [read_metrics_log(folder / "metrics.csv") for folder in (finished, run)]
    errors = [{row["epoch"]: row["valid/rmse"] for row in log} for log in logs]
    assert list(metrics) == (["model", "prior"] if streamed else list(plain))
    for name in metrics:
        assert metrics[name]["rmse"] == pytest.approx(plain[name]["rmse"] * 60, rel=0.02)
    assert errors[1] == pytest.approx({epoch: 60 * value for epoch, value in errors[0].items()}, rel=0.02)
    predicted = pl.read_parquet(run / "evaluation" / "predictions.parquet")["prediction"]
    assert predicted.dtype == pl.Float64
    assert predicted.n_unique() > 0.95 * len(predicted)


@pytest.mark.slow
def test_a_prediction_that_is_no_number_is_refused_by_its_row(finished):
    bundle = load(finished)
    with torch.no_grad():
        bundle.model.head.weight.fill_(3e38)
    shutil.rmtree(finished / "bundle")
    save(bundle, finished / "bundle")
    experiment = read(finished / "resolved.yaml").experiment

    with pytest.raises(
        TreadleError, match=r"the predictions of model are not finite for [\d,]+ test rows, such as row \d+"
    ):
        evaluate(experiment, folder=RunFolder(finished), run="a run")


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


@pytest.mark.slow
def test_the_report_is_one_self_contained_page(finished):
    page = Page((finished / "evaluation" / "report.html").read_text())

    assert page.outside == []
    assert page.tags.count("script") == 1
    assert page.tags.count("figure") == 2  # calibration and learning
    assert "Does a regression fit the same shapes?" in page.text
    assert f"{finished.name} · regression · " in page.text
    assert "commit, time, versions and machine are in environment.json" in page.text
    assert "better than the best baseline, linear" in page.text or "worse than the best baseline" in page.text
    for word in ("RMSE", "gradient boosting", "13,210 rows", "best epoch", "predicted one by one"):
        assert word in page.text


@pytest.mark.slow
@needs_chromium
def test_a_browser_shows_every_section_on_a_laptop_and_on_a_phone(finished, tmp_path):
    path = finished / "evaluation" / "report.html"
    page = path.read_text()

    shown, messages = open_page(path)
    wide, narrow = (probe_page(page, tmp_path, width=width) for width in (1440, 500))  # less, Chromium does not open

    assert messages == []  # so its policy lets the script of the charts run
    assert 'class="tip"' in shown
    for found, width in ((wide, 1440), (narrow, 500)):
        assert len(found["sections"]) == page.count("<section") > 5
        assert min(found["sections"].values()) > 30
        assert found["width"] <= width
        assert found["tip"].startswith("predicted ")
        assert "gradient boosting" in found["tip"]
        assert found["hidden"] == 1
    anchors = re.findall(r'<a href="#([^"]*)"', page)
    assert anchors == list(wide["sections"])


@pytest.mark.slow
def test_names_from_the_configuration_are_escaped(project):
    run_quick("tracker=disabled", "tracker.tags=['<b onclick=x>']")

    text = (find_run(project) / "evaluation" / "report.html").read_text()

    assert "<b onclick" not in text
    assert "&lt;b onclick" in text


@pytest.mark.slow
def test_a_multiclass_task_goes_the_whole_way(project):
    """A fifth of adult, asked for the relationship instead of the income."""
    pl.read_parquet(project / "data/adult/adult.parquet").gather_every(5).write_parquet(project / "adult.parquet")
    text = (project / "conf" / "data" / "adult.yaml").read_text()
    text = text.replace("task: binary", "task: multiclass").replace("label: income = '>50K'", "label: relationship")
    text = text.replace("data/adult/adult.parquet", "adult.parquet")
    (project / "conf" / "data" / "adult.yaml").write_text(
        re.sub(r"occupation, relationship, race", "occupation, race", text)
    )
    features = project / "conf" / "features" / "adult.yaml"
    features.write_text(features.read_text().replace("occupation, relationship, race", "occupation, race"))

    experiment = project / "conf" / "experiment" / "adult.yaml"
    married = "{Husband: 2, Wife: 2, Not-in-family: -1, Own-child: -1, Unmarried: -1, Other-relative: age / 40}"
    nothing = "{Husband: 0, Wife: 0, Not-in-family: 0, Own-child: 0, Unmarried: 0, Other-relative: 0}"
    value = f"value: {{by: decisions, unit: dollars, decisions: {{offer: {married}, wait: {nothing}}}}}"
    experiment.write_text(re.sub(r"value: \{.*\}", value, experiment.read_text()))

    longer = ["schedule.max_epochs=6", "schedule.batch_size=64"]
    asked = ("evaluation.metric=accuracy",)
    assert run_quick("experiment=adult", "tracker=disabled", BASELINES, *asked, *longer) == 0

    folder = find_run(project)
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    predicted = pl.read_parquet(folder / "evaluation" / "predictions.parquet")
    shares = predicted.select(pl.col("^probability_.*$"))
    accuracy = {name: values["accuracy"] for name, values in metrics.items()}
    assert list(accuracy) == ["model", "prior", "linear", "gradient_boosting"]
    assert all(accuracy[name] > accuracy["prior"] + 0.1 for name in ("model", "linear", "gradient_boosting"))
    assert shares.width == 6
    assert np.allclose(shares.sum_horizontal(), 1, atol=1e-5)
    numbers = json.loads((folder / "evaluation" / "numbers.json").read_text())
    assert numbers["value"]["lead"] > 0.1
    page = (folder / "evaluation" / "report.html").read_text()
    assert "always offer" in page
    assert "Confusion matrix" in page
    assert "ROC of the model, by class" in page
    assert set(predicted["prediction"]) <= {name.removeprefix("probability_") for name in shares.columns}


@pytest.mark.slow
def test_the_history_is_a_plain_table(finished):
    rows = list(csv.DictReader((finished / "metrics.csv").read_text().splitlines()))

    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["valid/rmse"]) > 0
