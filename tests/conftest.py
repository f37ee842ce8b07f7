"""Real data, tiny where it can be: shared by all tests."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone


def read_conf(name):
    return yaml.safe_load((ROOT / "conf" / f"{name}.yaml").read_text())


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def flights_tables(tmp_path_factory):
    from treadle.data.tables import load_tables
    from treadle.experiment.spec import Data

    scratch = tmp_path_factory.mktemp("flights")
    return load_tables(Data.model_validate(read_conf("data/flights")), root=ROOT, now=NOW, scratch=scratch)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own: conf/ copied, data linked; the current directory."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "data").symlink_to(ROOT / "data")
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path
