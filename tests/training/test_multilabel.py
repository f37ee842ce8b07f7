"""Several labels from the table to the server, and what is refused."""

import json

import numpy as np
import polars as pl
import pytest

from parcels import LABELS, find_chances, make_parcels, make_parcels_project
from runs import find_run, treadle
from treadle.bundle import load
from treadle.check.resolve import resolve
from treadle.evaluation.parity import read_outputs
from treadle.experiment.identity import sign_stages
from treadle.metrics.log import read_metrics_log
from treadle.serving.protocols import write_mlflow, write_oip
from treadle.serving.scorer import Scorer

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second

PROBABILITIES = [f"probability_{name}" for name in LABELS]
DECISIONS = [f"prediction_{name}" for name in LABELS]


@pytest.fixture
def project(tmp_path, monkeypatch):
    make_parcels_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(project, *overrides, verb="run"):
    assert treadle(verb, "experiment=parcels", "tracker=disabled", *overrides) == 0
    return find_run(project)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parcels")
    make_parcels_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield run(folder, "evaluation.calibrate=isotonic", "evaluation.fairness={columns: [carrier], min_rows: 50}")


def test_each_label_has_a_probability_near_its_own_and_a_decision(made):
    bundle, rows = load(made), pl.read_parquet(made / "examples/test.parquet")

    predicted = bundle.predict(rows)

    assert predicted.columns == ["row", *PROBABILITIES, *DECISIONS]
    chances = predicted.select(PROBABILITIES).to_numpy()
    assert abs(chances - find_chances(rows)).mean() < 0.05
    thresholds = np.array(bundle.card.thresholds, dtype=chances.dtype)
    assert (predicted.select(DECISIONS).to_numpy() == (chances >= thresholds)).all()
    assert thresholds[2] < 0.4  # of a rare label F1 is best far below one half


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=tabm", "model.width=16", "loss=focal"),
        ("model=mlp", "model.width=16", "loss=weighted_labels", "loss.function.positive_weights=[1, 1, 10]"),
        ("model=lightgbm",),
        pytest.param(("model=xgboost",), marks=pytest.mark.exhaustive),
        pytest.param(("model=ensemble", "loss=label_smoothing"), marks=pytest.mark.exhaustive),
    ],
    ids=lambda overrides: overrides[0].removeprefix("model="),
)
def test_every_kind_of_model_learns_several_labels(project, overrides):
    folder = run(project, *overrides, "schedule.max_epochs=3", verb="train")
    bundle, rows = load(folder), pl.read_parquet(folder / "examples/test.parquet")

    found = bundle.predict(rows).select(PROBABILITIES).to_numpy()

    for place, name in enumerate(LABELS):
        truth = rows["label"].struct.field(name).to_numpy()
        assert found[truth == 1, place].mean() > found[truth == 0, place].mean() + 0.02, name


def test_the_order_of_the_labels_is_that_of_the_outputs_and_makes_another_run(project):
    def sign():
        return sign_stages(resolve(overrides=["experiment=parcels"], root=project), root=project)

    before, file = sign(), project / "conf/data/parcels.yaml"
    first, second = "late: hours_late > 0", "damaged: damaged"
    text = file.read_text()
    file.write_text(text.replace(f"{first}, {second}", f"{second}, {first}"))

    assert text != file.read_text()
    assert before["prepare"] != sign()["prepare"]


def test_the_loss_is_the_mean_log_loss_over_rows_and_labels(made):
    bundle, rows = load(made), pl.read_parquet(made / "examples/valid.parquet")
    best = json.loads((made / "model/summary.json").read_text())["best_epoch"]
    last = next(row for row in read_metrics_log(made / "metrics.csv") if row["epoch"] == best)

    chances = bundle.compute(bundle.conform(rows)).double().numpy()

    truth = rows["label"].struct.unnest().to_numpy()
    assert last["valid/loss"] == pytest.approx(-np.log(np.where(truth == 1, chances, 1 - chances)).mean(), rel=1e-4)


def test_an_evaluation_judges_all_labels_and_each(made):
    results = json.loads((made / "evaluation/metrics.json").read_text())
    numbers = json.loads((made / "evaluation/numbers.json").read_text())
    part = json.loads((made / "evaluation/parts/by_label.json").read_text())
    calibration = json.loads((made / "evaluation/parts/calibration.json").read_text())
    report = (made / "evaluation/report.html").read_text()

    assert results["model"]["log_loss"] < 1.05 * results["linear"]["log_loss"] < results["prior"]["log_loss"]
    assert results["model"]["log_loss"] < 1.1 * results["gradient_boosting"]["log_loss"]
    assert list(part) == list(LABELS)
    of_labels = [numbers["by_label"][f"{name}.auroc"] for name in LABELS]
    assert results["model"]["auroc"] == pytest.approx(np.mean(of_labels), abs=1e-6)
    assert results["model"]["f1"] == pytest.approx(np.mean([numbers["by_label"][f"{n}.f1"] for n in LABELS]), abs=1e-6)
    assert list(calibration["classes"]) == list(LABELS)
    assert (calibration["before"], calibration["method"]) != (None, "none")
    assert "Label by label" in report
    assert "in seven of ten the row should have the label" in report
    assert json.loads((made / "evaluation/parity.json").read_text())["largest_difference"] < 1e-6
    checks = json.loads((made / "evaluation/checks.json").read_text())
    assert {code for code, found in checks.items() if found["outcome"] == "fail"} <= {"better_than_baselines"}


def test_a_server_answers_with_all_labels(made):
    bundle, rows = load(made), pl.read_parquet(made / "examples/test.parquet").head(20)

    scorer = Scorer(bundle)
    answers = scorer.ask(rows.select("km", "kg", "carrier").to_dicts())

    assert list(scorer.outputs) == [*PROBABILITIES, *DECISIONS]
    tensors = write_oip(answers, model="parcels", bundle="1", request="1", outputs=scorer.outputs)["outputs"]
    assert [tensor["datatype"] for tensor in tensors] == ["FP32"] * 3 + ["BOOL"] * 3
    assert write_mlflow(answers, outputs=scorer.outputs)["predictions"] == [answer.prediction for answer in answers]
    found = pl.DataFrame([answer.prediction for answer in answers])
    wanted = bundle.predict(rows)
    assert found.select(DECISIONS).equals(wanted.select(DECISIONS))
    assert np.allclose(read_outputs(found, bundle), read_outputs(wanted, bundle), atol=1e-6)


def test_a_graph_names_the_labels_and_their_thresholds(made, tmp_path):
    pytest.importorskip("onnxruntime")
    assert treadle("export", str(made), "--to", "onnx", "-o", str(tmp_path / "graph")) == 0

    signature = json.loads((tmp_path / "graph/signature.json").read_text())

    assert (signature["output"], signature["classes"]) == ("probabilities", list(LABELS))
    assert signature["thresholds"] == load(made).card.thresholds
    assert "`[rows, 3]`, for the labels late, damaged, lost" in (tmp_path / "graph/README.md").read_text()


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"lost": pl.lit(0)}, "data.examples.label.lost: is 0 in all rows of train that count"),
        (
            {"hours_late": pl.lit(None, pl.Float64)},
            "data.examples.label.late: missing in 3,000 rows, such as [0, 1, 2]",
        ),
    ],
    ids=["never", "missing"],
)
def test_labels_that_cannot_be_learned_are_refused(project, capsys, changed, rule):
    make_parcels().with_columns(**changed).write_parquet("parcels.parquet")

    assert treadle("train", "experiment=parcels", "tracker=disabled") == 2

    assert rule in capsys.readouterr().err


def test_a_label_that_is_neither_0_nor_1_is_refused(project, capsys):
    assert treadle("train", "experiment=parcels", "tracker=disabled", "data.examples.label.lost=lost*2") == 2

    error = capsys.readouterr().err
    assert "data.examples.label.lost: each label is true or false, 1 or 0; it is not in " in error


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("data.task=binary", "a binary task has one label; found 3: late, damaged, lost"),
        ("loss.class_weights=balanced", "a row has no single class by which it could weigh"),
        ("evaluation.conformal={coverage: 0.9}", "sets of classes hold one class of a row"),
        ("data.examples.label.lost=carrier", "a multilabel label must be true or false, found str"),
        ("data.examples.label.lost='kg > 1'", "parcels.kg (the label is computed from it)"),
    ],
    ids=["task", "weights", "sets", "text", "leak"],
)
def test_what_several_labels_do_not_take_is_told_before_anything_runs(project, capsys, override, rule):
    assert treadle("check", "experiment=parcels", override) == 2

    assert rule in capsys.readouterr().err


def test_rows_are_not_drawn_by_several_labels(project, capsys):
    assert treadle("check", "experiment=parcels", "data.split.by=stratified", "+data.split.column=label") == 2

    assert "rows are drawn by one value of a row, and a row has several labels" in capsys.readouterr().err


def test_later_labels_are_joined_and_judged(made, tmp_path, capsys):
    rows = pl.read_parquet(made / "examples/test.parquet")
    log = rows.drop("label").with_columns(load(made).predict(rows).drop("row"), id=pl.col("row").cast(pl.String))
    log.write_parquet(tmp_path / "log.parquet")
    later = rows.select(pl.col("row").cast(pl.String).alias("id"), pl.col("label").struct.unnest())
    later.write_csv(tmp_path / "later.csv")

    given = ("--log", str(tmp_path / "log.parquet"))
    assert treadle("feedback", str(tmp_path / "later.csv"), *given, "--label", ",".join(LABELS)) == 0
    capsys.readouterr()
    treadle("monitor", str(made), *given, "--format", "json", "--no-effect")

    found = json.loads(capsys.readouterr().out)
    assert "no performance of several labels is estimated" in " ".join(found["notes"])
    realised = [block["realised"]["metrics"] for block in found["blocks"] if block["unjudged"] is None]
    wanted = json.loads((made / "evaluation/metrics.json").read_text())["model"]
    for name in ("log_loss", "hamming_loss"):
        assert np.mean([one[name] for one in realised]) == pytest.approx(wanted[name], abs=0.03)
