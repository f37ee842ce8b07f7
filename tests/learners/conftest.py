"""A Lightning project, brought in by one file of conf/."""

import shutil
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """\
# Which digit is it?
defaults:
  - trainer: cpu
  - tracker: disabled
  - sweep: grid
  - _self_
name: digits
seed: 0
targets: [lightning_digits., torch.optim., pytorch_lightning.]
learner:
  _target_: lightning_digits.DigitNet
  channels: 4
  optimizer: {_target_: torch.optim.Adam, _partial_: true}
datamodule:
  _target_: lightning_digits.Digits
  path: images/digits.parquet
depends: [images]
fit:
  max_epochs: 3
  monitor: val/acc
  mode: max
  early_stopping: null
  metrics: {test/acc: max, val/loss: min}
"""


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory):
    """1,797 images of 8 by 8 pixels, which come with scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    table = pl.DataFrame(found.data).with_columns(label=pl.Series(found.target, dtype=pl.Float64))
    file = tmp_path_factory.mktemp("digits") / "digits.parquet"
    table.write_parquet(file)
    return file


@pytest.fixture(scope="session")
def mnist_file():
    """5,000 images of 28 by 28 pixels, where they lie beside the repository."""
    file = ROOT.parent / "shared" / "data" / "mnist5k" / "mnist5k.parquet"
    if not file.is_file():
        pytest.skip(f"no {file}")
    return file


@pytest.fixture
def lightning_project(tmp_path, monkeypatch, digits_file):
    """The current directory: a project with nothing but conf/config.yaml and data."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    (tmp_path / "images").mkdir()
    shutil.copyfile(digits_file, tmp_path / "images" / "digits.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path
