import json
import shutil

from runs import find_run
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.metrics.log import read_metrics_log
from treadle.training.train import train


def test_training_does_without_the_test_split(run_once, tmp_path):
    done = find_run(run_once("tracker=disabled").parent)
    shutil.copytree(done / "features", tmp_path / "features")
    shutil.copytree(done / "examples", tmp_path / "examples")
    for split in ("examples/test.parquet", "examples/train.parquet", "examples/valid.parquet"):
        (tmp_path / split).unlink()  # T17: a search that saw it would choose by it
    assert not list((tmp_path / "features").glob("test*"))

    train(
        read(done / "resolved.yaml").experiment,
        folder=RunFolder(tmp_path),
        signature="x",
        log=lambda *_: None,
        start=None,
        teacher=None,
        members={},
    )

    assert (tmp_path / "metrics.csv").read_text() == (done / "metrics.csv").read_text()


def test_the_epoch_that_is_kept_has_a_file_of_metrics_for_dvc(run_once):
    run = find_run(run_once("tracker=disabled").parent)
    kept = json.loads((run / "validation.json").read_text())
    epochs = read_metrics_log(run / "metrics.csv")

    summary = json.loads((run / "model" / "summary.json").read_text())
    assert kept["best_epoch"] == summary["best_epoch"]
    assert kept["valid"][summary["monitor"]] == summary["score"] == min(row["valid/loss"] for row in epochs)
    assert {f"valid/{name}" for name in kept["valid"]} == {key for key in epochs[0] if key.startswith("valid/")}
