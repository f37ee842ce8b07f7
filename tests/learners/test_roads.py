"""The other roads to the same training of a learner: DVC, a sweep, two processes, the other package of Lightning."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from runs import find_run, treadle
from treadle.sweeps.ledger import Ledger

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"


def read_metrics(folder):
    return json.loads((folder / "evaluation" / "metrics.json").read_text())["model"]


def read_scores(run):
    with (run / "metrics.csv").open() as file:
        return [float(row["val/acc"]) for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.exhaustive
def test_dvc_runs_the_stages_and_again_after_the_data_have_changed(lightning_project):
    """By the dvc.yaml of a project over tables."""

    def run(*command):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "DVC"))}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment["DVC_SITE_CACHE_DIR"] = str(lightning_project.parent / "site")
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (lightning_project / "src").mkdir()
    shutil.copyfile(SUPPORT / "lightning_digits.py", lightning_project / "src" / "lightning_digits.py")
    (lightning_project / "images").rename(lightning_project / "data")
    config = lightning_project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("images", "data").replace("max_epochs: 3", "max_epochs: 1"))
    (lightning_project / "params.yaml").write_text("set: {seed: 3}\n")
    shutil.copyfile(ROOT / "dvc.yaml", lightning_project / "dvc.yaml")
    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")

    assert "Running stage 'train'" in run("dvc", "repro")
    before = read_metrics(lightning_project / "artifacts")
    told = json.loads((lightning_project / "artifacts" / "examples" / "nothing.json").read_text())
    assert told["stage"] == "prepare"
    assert "Running stage" not in run("dvc", "repro")

    rows = pl.read_parquet("data/digits.parquet")
    rows.reverse().write_parquet("data/digits.parquet")
    assert "Running stage 'train'" in run("dvc", "repro")
    assert read_metrics(lightning_project / "artifacts") != before

    run("treadle", "run", "seed=3")
    assert read_metrics(find_run(lightning_project)) == read_metrics(lightning_project / "artifacts")


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_sweep_prunes_by_the_metric_that_the_learner_logs(lightning_project, capsys):
    shutil.copyfile(SUPPORT / "lightning_digits.py", lightning_project / "lightning_digits.py")
    search = ("sweep=random", "sweep.max_trials=9", "sweep.pruner=median", "sweep.workers=1", "fit.max_epochs=4")

    assert treadle("run", "-m", "+learner.lr=interval(0.000001,0.01)", *search) == 0

    (sweep,) = (lightning_project / "sweeps").iterdir()
    ledger = [json.loads(line) for line in (sweep / "ledger.jsonl").read_text().splitlines()]
    assert "pruned" in json.dumps(ledger)
    capsys.readouterr()
    assert treadle("compare", str(sweep)) == 0
    assert "val/acc" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_sweep_ends_whose_objective_no_training_logs(lightning_project):
    """It is declared, and logged in the test alone; a trial that is tried again takes over its finished run."""
    words = ("seed=0,1", "sweep.objective=test/acc", "sweep.retries=1", "sweep.workers=1", "fit.max_epochs=1")

    assert treadle("run", "-m", *words) == 1

    (sweep,) = (lightning_project / "sweeps").iterdir()
    trials = Ledger(sweep, is_driven=False).trials.values()
    assert [trial.state for trial in trials] == ["failed", "failed"]
    assert all("the training logs no 'test/acc'" in trial.error for trial in trials)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_processes_learn_the_digits_of_mnist(lightning_project, mnist_file):
    """By DDP on the CPU, and one process beside them."""
    shutil.copyfile(SUPPORT / "lightning_digits.py", lightning_project / "lightning_digits.py")
    shutil.copyfile(mnist_file, lightning_project / "images" / "digits.parquet")
    same = ("+datamodule.limit=2000", "+learner.size=28", "fit.max_epochs=4")

    assert treadle("run", *same, "name=one", "+datamodule.batch_size=64") == 0
    assert treadle("run", *same, "name=two", "+datamodule.batch_size=32", "trainer=ddp") == 0

    (one,), (two,) = (list(lightning_project.glob(f"runs/{name}-*")) for name in ("one", "two"))
    for run in (one, two):
        assert max(read_scores(run)) > 0.85
        assert read_metrics(run)["test/acc"] > 0.8
    last = [json.loads((run / "model" / "summary.json").read_text())["num_steps"] for run in (one, two)]
    assert last[0] == last[1]


@pytest.mark.slow
def test_a_module_of_the_package_lightning_works_alike(lightning_project):
    """Its classes are others than those of pytorch_lightning, with the same names."""
    pytest.importorskip("lightning.pytorch")
    source = (SUPPORT / "lightning_digits.py").read_text()
    source = source.replace("import pytorch_lightning as lightning", "import lightning.pytorch as lightning")
    (lightning_project / "other_digits.py").write_text(source)
    config = lightning_project / "conf" / "config.yaml"
    text = config.read_text().replace("lightning_digits.", "other_digits.").replace("pytorch_lightning.", "lightning.")
    values = yaml.safe_load(text)
    values["fit"] |= {"max_epochs": 2, "early_stopping": {"patience": 1, "min_delta": 0.5}}
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    bar = "+callbacks.bar={_target_: lightning.pytorch.callbacks.TQDMProgressBar}"

    assert treadle("run", bar) == 0

    assert len(read_scores(find_run(lightning_project))) == 2


def test_its_dashboard_draws_what_it_logs(lightning_project):
    pytest.importorskip("wandb_workspaces")

    assert treadle("dashboard", "tracker=offline", "-o", "views.json") == 0

    workspace = json.loads((lightning_project / "views.json").read_text())["workspace"]
    sections = workspace["spec"]["section"]["panelBankConfig"]["sections"]
    drawn = {s["name"]: [panel["config"].get("metrics") for panel in s["panels"]] for s in sections}
    assert drawn["Learning curves"] == [["val/acc"], ["test/acc"], ["val/loss"]]
    assert drawn["Metrics, on the test split"] == [["model/test/acc"], ["model/val/loss"]]
    assert "Calibration and curves, on the test split" not in drawn
