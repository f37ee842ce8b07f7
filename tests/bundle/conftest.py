"""A small trained run, whose bundle the tests load, copy and break."""

import shutil

import polars as pl
import pytest

from runs import find_run, run_quick
from treadle.bundle import load


@pytest.fixture(scope="package")
def trained(tmp_path_factory, root):
    """A run on adult: numbers, categories, missing values."""
    project = tmp_path_factory.mktemp("adult")
    (project / "conf").symlink_to(root / "conf")
    (project / "data").symlink_to(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        run_quick("experiment=adult", "tracker=disabled", "schedule.max_epochs=1", verb="train")
        yield find_run(project)


@pytest.fixture
def bundle(trained):
    return load(trained)


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained / "bundle", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def rows(trained):
    return pl.read_parquet(trained / "examples" / "test.parquet")
