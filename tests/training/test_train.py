import shutil

from runs import find_run
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.training.train import train


def test_training_does_without_the_test_split(run_once, tmp_path):
    done = find_run(run_once("tracker=disabled").parent)
    shutil.copytree(done / "features", tmp_path / "features")
    shutil.copytree(done / "examples", tmp_path / "examples")
    for split in ("examples/test.parquet", "examples/train.parquet", "examples/valid.parquet"):
        (tmp_path / split).unlink()  # T17: a search that saw it would choose by it
    assert not list((tmp_path / "features").glob("test*"))

    train(read(done / "resolved.yaml").experiment, folder=RunFolder(tmp_path), signature="x", log=lambda *_: None)

    assert (tmp_path / "metrics.csv").read_text() == (done / "metrics.csv").read_text()
