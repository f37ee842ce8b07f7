"""A LightningModule of the user's own, from the check to a comparison, by the commands that a table has."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import treadle as package
from runs import find_run, run_quick, treadle
from treadle.errors import TreadleError
from wandb_record import find_ended, read_config, read_history, read_summary

SUPPORT = Path(__file__).parents[1] / "support"


def read_epochs(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def read_metrics(run):
    return json.loads((run / "evaluation" / "metrics.json").read_text())["model"]


@pytest.mark.slow
def test_a_learner_is_trained_tested_compared_and_asked(lightning_project, capsys):
    assert treadle("run") == 0

    run = find_run(lightning_project)
    epochs = read_epochs(run)
    assert [row["epoch"] for row in epochs] == ["1", "2", "3"]
    assert set(epochs[0]) == {"epoch", "step", "train/loss", "val/loss", "val/acc"}
    assert set(read_metrics(run)) == {"test/loss", "test/acc"}
    summary = json.loads((run / "model" / "summary.json").read_text())
    assert summary["score"] == max(float(row["val/acc"]) for row in epochs)
    assert "test/acc" in (run / "evaluation" / "report.html").read_text()

    assert treadle("run") == 0
    assert "unchanged" in capsys.readouterr().out.splitlines()[-1]
    assert treadle("run", "seed=1", "fit.max_epochs=1") == 0
    assert treadle("compare", "--html", "page.html") == 0
    assert "test/acc ↑" in capsys.readouterr().out
    assert treadle("ls") == 0
    assert "damaged" not in capsys.readouterr().out

    predicting = ("predict", str(run), "-o", "out.csv")
    assert treadle(*predicting) == 2
    assert "--allow lightning_digits." in capsys.readouterr().err
    allowed = ("--allow", "lightning_digits.")
    assert treadle(*predicting, *allowed, "--datamodule", "limit=400") == 0
    predicted = pl.read_csv("out.csv")
    assert predicted.shape == (60, 10)
    assert predicted.sum_horizontal().is_between(0.999, 1.001).all()

    loaded = package.load(run, targets=["lightning_digits."])
    assert not loaded.module.training
    assert loaded.predict({"limit": 400}).to_numpy() == pytest.approx(predicted.to_numpy(), abs=1e-6)
    with pytest.raises(TreadleError, match="leave on_breach out"):
        package.load(run, targets=["lightning_digits."], on_breach="warn")
    with pytest.raises(TreadleError, match="outside the allowed"):
        package.load(run)

    (weaker,) = set(lightning_project.glob("runs/digits-*")) - {run}
    assert treadle("promote", str(weaker)) == 0
    assert "a learner of your own has no checks, so nothing was asked of it; there is no champion" in (
        capsys.readouterr().out
    )
    assert treadle("gate", str(run)) == 0
    assert (
        "promote: a learner of your own has no checks, so nothing was asked of it; better than the champion: test/acc"
        in (capsys.readouterr().out)
    )
    assert treadle("promote", str(run)) == 0
    assert treadle("gate", str(weaker), "--format", "json") == 1
    assert json.loads(capsys.readouterr().out.split("it\n")[-1])["comparison"]["gain"]["value"] < 0
    assert package.load("champion", targets=["lightning_digits."]).bundle.weights.is_relative_to(run)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")  # of Lightning, before it validates
@pytest.mark.parametrize("every", [1, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_a_killed_training_goes_on_with_the_numbers_of_one_that_was_not_killed(lightning_project, capsys, every):
    """In the third epoch, which is trained again; also before the first validation, and so before a best epoch."""
    words = ["train", "fit.max_epochs=4", f"+trainer.extra={{check_val_every_n_epoch: {every}}}"]
    shutil.copyfile(SUPPORT / "lightning_digits.py", lightning_project / "lightning_digits.py")
    (lightning_project / "fail-in-epoch").write_text("2")
    environment = {**os.environ, "PYTHONPATH": str(lightning_project)}
    command = [sys.executable, "-m", "treadle", *words]
    killed = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert killed.returncode == 9, killed.stderr
    (lightning_project / "fail-in-epoch").unlink()

    assert treadle(*words) == 0
    assert "resumed    after epoch 2" in capsys.readouterr().out
    run = find_run(lightning_project)
    resumed = (run / "metrics.csv").read_text()
    shutil.rmtree(lightning_project / "runs")
    assert treadle(*words) == 0

    assert resumed == (find_run(lightning_project) / "metrics.csv").read_text()


def test_a_metric_that_is_not_logged_is_told_with_those_that_are(lightning_project, capsys):
    assert treadle("train", "fit.monitor=val/accuracy") == 2
    told = capsys.readouterr().err
    assert "the learner logs no 'val/accuracy'" in told
    assert "did you mean 'val/acc'" in told


def test_what_lightning_refuses_is_told_as_a_mistake_of_the_learner(lightning_project, capsys):
    every = "+trainer.extra={val_check_interval: 0.5, check_val_every_n_epoch: null}"
    assert treadle("train", every) == 2
    told = capsys.readouterr().err
    assert "Lightning refuses the learner, its datamodule or an argument of `trainer`" in told
    assert "bug" not in told


def test_data_without_batches_to_predict_are_told(lightning_project, capsys):
    assert treadle("train", "datamodule._target_=lightning_digits.UnlabelledDigits", "fit.max_epochs=1") == 0
    run = find_run(lightning_project)
    assert treadle("predict", str(run), "-o", "out.csv", "--allow", "lightning_digits.") == 2
    assert "lightning_digits.UnlabelledDigits has no predict_dataloader" in capsys.readouterr().err


@pytest.mark.slow
def test_wandb_has_each_epoch_the_best_and_the_test(lightning_project):
    assert treadle("run", "tracker=offline", "fit.max_epochs=2") == 0

    run = find_run(lightning_project)
    (record,) = find_ended(run)
    epochs = [row for row in read_history(record) if "epoch" in row]
    assert [row["val/acc"] for row in epochs] == [float(row["val/acc"]) for row in read_epochs(run)]
    summary = read_summary(record)
    assert summary["best/val/acc"] == max(row["val/acc"] for row in epochs)
    assert summary["model/test/acc"] == read_metrics(run)["test/acc"]
    assert read_config(record)["learner"]["channels"] == 4


def test_callbacks_loggers_and_arguments_of_the_trainer_take_part(lightning_project, capsys):
    (lightning_project / "conf" / "callbacks").mkdir()
    (lightning_project / "conf" / "callbacks" / "average.yaml").write_text(
        "average: {_target_: pytorch_lightning.callbacks.StochasticWeightAveraging, swa_lrs: 0.01}\n"
        "bar: {_target_: pytorch_lightning.callbacks.RichProgressBar}\n"
    )
    logger = "+logger.table={_target_: pytorch_lightning.loggers.CSVLogger, name: own}"
    extra = "+trainer.extra={gradient_clip_val: 0.5, log_every_n_steps: 1}"

    assert treadle("train", "+callbacks=average", logger, extra, "trainer=debug") == 0

    run = find_run(lightning_project)
    assert (run / "loggers" / "own" / "version_0" / "metrics.csv").is_file()
    assert "epoch   1" not in capsys.readouterr().out


@pytest.mark.slow
def test_an_experiment_over_a_table_takes_callbacks_loggers_and_arguments_as_well(project):
    logger = "+logger.table={_target_: pytorch_lightning.loggers.CSVLogger, name: own}"
    timer = "+callbacks=[{_target_: pytorch_lightning.callbacks.Timer, duration: '00:00:10:00'}]"
    targets = "targets=[treadle.,torch.optim.,pytorch_lightning.]"

    assert run_quick("tracker=disabled", targets, timer, logger, "+trainer.extra={benchmark: false}", verb="train") == 0

    rows = pl.read_csv(find_run(project) / "loggers" / "own" / "version_0" / "metrics.csv")
    assert rows["valid/rmse"].is_not_null().sum() == 2
