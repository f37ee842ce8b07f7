"""Models that train themselves, through the whole pipeline."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
import torch

import treadle
from estimators import list_estimators
from runs import find_run, make_project
from runs import treadle as run_treadle
from treadle.bundle import load_judged
from treadle.errors import TreadleError
from treadle.experiment.source_bundles import digest_file
from treadle.metrics.log import read_metrics_log
from treadle.targets.signatures import read_constant
from treadle.training.estimators import Epochs
from wandb_record import find_ended, find_records, read_history

QUICK = ["tracker=disabled", "model.max_rounds=30", "evaluation.parity_rows=20"]


def run(name, *overrides, verb="run"):
    return run_treadle(verb, f"model={name}", *QUICK, *overrides)


@pytest.mark.slow
@pytest.mark.parametrize("name", list_estimators())
def test_each_runs_from_rows_to_a_report_and_its_bundle_predicts(name, project):
    node = (project / "conf" / "model" / f"{name}.yaml").read_text()
    pytest.importorskip(read_constant(node.split("_target_: ")[1].split("\n")[0], "LIBRARY"))
    assert run(name, "experiment=adult", "model.learning_rate=0.3") == 0
    folder = find_run(project)

    rows = pl.read_parquet(folder / "examples" / "test.parquet")
    bundle = treadle.load(folder)
    predicted = bundle.predict(rows, on_breach="allow")
    stored = pl.read_parquet(folder / "evaluation" / "predictions.parquet")
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    summary = json.loads((folder / "model" / "summary.json").read_text())
    epochs = read_metrics_log(folder / "metrics.csv")

    assert predicted.equals(stored)
    assert json.loads((folder / "evaluation" / "parity.json").read_text())["largest_difference"] < 1e-7
    assert metrics["model"]["log_loss"] < metrics["linear"]["log_loss"] < metrics["prior"]["log_loss"]
    assert [row["step"] for row in epochs] == [10, 20, 30]
    assert summary["score"] == min(row["valid/loss"] for row in epochs)
    assert json.loads((folder / "validation.json").read_text())["valid"]["loss"] == summary["score"]
    assert "rounds" in (folder / "evaluation" / "report.html").read_text()
    assert not (folder / "bundle" / "network.pt").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("lightgbm")
    folder = tmp_path_factory.mktemp("trees")
    make_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("lightgbm", "experiment=california", verb="train") == 0
    return folder


@pytest.mark.slow
def test_the_same_run_again_gives_the_same_bytes(trained, project):
    assert run("lightgbm", "experiment=california", verb="train") == 0

    first, again = (find_run(place) for place in (trained, project))
    assert first.name == again.name
    for file in ("bundle/trees.txt", "metrics.csv", "model/summary.json"):
        assert (first / file).read_bytes() == (again / file).read_bytes()


@pytest.mark.slow
def test_refitted_on_train_and_valid_it_keeps_what_was_judged_beside_it(trained, project):
    once = find_run(trained)
    assert run("lightgbm", "experiment=california", "schedule.refit=all", verb="train") == 0
    again = find_run(project)

    first, second, judged = treadle.load(once), treadle.load(again), load_judged(again)

    assert (once / "metrics.csv").read_bytes() == (again / "metrics.csv").read_bytes()
    assert (second.card.trained_on, judged.card.trained_on) == (["train", "valid"], ["train"])
    summary, counts = (
        json.loads((again / file).read_text()) for file in ("model/summary.json", "examples/summary.json")
    )
    assert summary["refit"] == {"num_rows": counts["rows"]["train"] + counts["rows"]["valid"], "num_rounds": 30}
    rows = pl.read_parquet(once / "examples" / "valid.parquet")
    assert judged.predict(rows).equals(first.predict(rows))
    errors = [((bundle.predict(rows)["prediction"] - rows["label"]) ** 2).mean() for bundle in (first, second)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("damage", ["cut", "other trees", "another file"])
def test_a_hostile_bundle_is_refused_in_one_line(trained, damage, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(find_run(trained) / "bundle", folder)
    card = json.loads((folder / "bundle.json").read_text())
    text = (folder / "trees.txt").read_text()
    if damage == "another file":
        (folder / "trees.txt").rename(folder / "network.pt")
        card["files"]["network.pt"] = card["files"].pop("trees.txt")
    else:
        changed = text[:-50] if damage == "cut" else text.replace("left_child=1", "left_child=9", 1)
        assert changed != text
        (folder / "trees.txt").write_text(changed)
        card["files"]["trees.txt"] = digest_file(folder / "trees.txt")
    (folder / "bundle.json").write_text(json.dumps(card))

    with pytest.raises(TreadleError, match=r"trees.txt|network.pt") as caught:
        treadle.load(folder)

    assert "\n" not in str(caught.value)


def test_the_best_epoch_is_by_the_monitor_and_any_number_beats_none():
    epochs = Epochs.__new__(Epochs)
    epochs.monitor, epochs.sign = "auroc", -1

    for before, found, better in ((0.5, 0.6, True), (0.6, 0.5, False), (0.6, 0.6, False), (math.nan, 0.1, True)):
        epochs.best = {"valid/auroc": before}
        assert epochs._is_better(found) is better  # noqa: SLF001 - the order of scores
    epochs.best = {"valid/auroc": 0.1}
    assert not epochs._is_better(math.nan)  # noqa: SLF001


@pytest.mark.slow
def test_it_takes_rows_of_a_debug_run_alone(project):
    pytest.importorskip("lightgbm")

    assert run("lightgbm", "experiment=california", "trainer=debug", verb="train") == 0

    trees = (find_run(project) / "bundle" / "trees.txt").read_text()
    counts = [line for line in trees.split("\n") if line.startswith("internal_count=")]
    assert max(int(word) for line in counts for word in line.partition("=")[2].split()) == 256
    assert torch.get_num_threads() == 1


@pytest.mark.exhaustive
@pytest.mark.slow
def test_after_a_kill_it_begins_again_and_ends_as_if_there_had_been_none(project, tmp_path_factory):
    """W&B's run goes on: its two records have every epoch once."""
    pytest.importorskip("lightgbm")
    words = ["train", "model=lightgbm", "experiment=california", "tracker=wandb", "trainer.threads=1"]
    words += ["model.max_rounds=300", "model.num_leaves=63", "model.eval_period=1", "model.learning_rate=0.01"]
    command = [sys.executable, "-m", "treadle", *words]
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # of this process
    silent = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=project, stdout=silent, stderr=silent, env=own) as process:
        while not any(file.read_text().count("\n") > 5 for file in project.glob("runs/*/metrics.csv")):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    killed = find_run(project)
    assert read_metrics_log(killed / "metrics.csv")[-1]["step"] < 300
    (of_killed,) = find_records(killed)

    assert run_treadle(*words) == 0

    epochs = read_metrics_log(killed / "metrics.csv")
    rows = read_history(of_killed)
    shutil.rmtree(of_killed)  # it has no end to wait for
    (record,) = find_ended(killed)
    rows += read_history(record)
    recorded = {row["_step"]: row["valid/loss"] for row in rows if "valid/loss" in row}
    assert list(recorded.values()) == [epoch["valid/loss"] for epoch in epochs]
    assert [epoch["step"] for epoch in epochs] == [*range(1, 301)]
    unbroken = tmp_path_factory.mktemp("unbroken")
    make_project(unbroken)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(unbroken)
        assert run_treadle(*words) == 0
    for file in ("metrics.csv", "bundle/trees.txt"):
        assert (find_run(unbroken) / file).read_bytes() == (killed / file).read_bytes()


@pytest.mark.slow
def test_an_estimator_of_scikit_learn_is_one_by_its_own_name(project):
    pytest.importorskip("skops")
    model = "_target_: sklearn.ensemble.HistGradientBoostingRegressor\nmax_iter: 20\nlearning_rate: 0.3\n"
    (project / "conf" / "model" / "mine.yaml").write_text(model)

    assert run_treadle("train", "model=mine", "experiment=california", "tracker=disabled") == 0

    folder = find_run(project)
    epochs = read_metrics_log(folder / "metrics.csv")
    rows = pl.read_parquet(folder / "examples" / "valid.parquet")
    predicted = treadle.load(folder).predict(rows, on_breach="allow")["prediction"]
    assert [row["step"] for row in epochs] == [*range(1, 21)]
    assert ((predicted - rows["label"]) ** 2).mean() ** 0.5 == pytest.approx(
        min(e["valid/rmse"] for e in epochs), rel=1e-4
    )
    assert "treadle.models.scikit_learn" in json.loads((folder / "bundle" / "bundle.json").read_text())["code"]
    assert (folder / "bundle" / "estimator.skops").is_file()
