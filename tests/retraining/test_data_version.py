"""The data are brought to their newest version by real DVC, and the decision says which it is."""

import shutil
import subprocess
import sys

import pytest

from drifting import decide, make_visits, make_visits_project
from treadle.errors import TreadleError
from treadle.experiment.spec.retrain import DataVersion
from treadle.retraining.data_version import take_version
from treadle.retraining.ledger import read_decisions

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dvc")]


def dvc(*words, root):
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A project whose table DVC imported from a place beside it, with a remote there; tests only copy the folder."""
    folder = tmp_path_factory.mktemp("imported")
    root = folder / "project"
    root.mkdir()
    make_visits_project(root)
    (root / "visits.parquet").rename(folder / "source.parquet")
    dvc("init", "--no-scm", "--force", "--quiet", root=root)
    dvc("remote", "add", "--default", "store", "../store", root=root)
    dvc("import-url", "../source.parquet", "visits.parquet", root=root)
    dvc("push", root=root)
    return folder


@pytest.fixture
def project(imported, tmp_path, monkeypatch):
    """A copy of it."""
    shutil.copytree(imported, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy" / "project")
    return tmp_path / "copy" / "project"


def take(project, by):
    return take_version(DataVersion(file="visits.parquet.dvc", by=by), root=project)["outputs"]["visits.parquet"]


def test_a_version_is_fetched_updated_and_made(project):
    table = project / "visits.parquet"
    first = table.read_bytes()
    table.unlink()
    pulled = take(project, "pull")
    assert table.read_bytes() == first

    make_visits(271).write_parquet(project.parent / "source.parquet")
    updated = take(project, "update")
    assert table.read_bytes() == (project.parent / "source.parquet").read_bytes()

    table.unlink()
    make_visits(272).write_parquet(table)
    committed = take(project, "commit")
    assert len({pulled, updated, committed}) == 3


def test_what_dvc_cannot_do_is_told(project):
    with pytest.raises(TreadleError, match=r"retrain.version: `dvc pull none.dvc` failed: .*none.dvc"):
        take_version(DataVersion(file="none.dvc", by="pull"), root=project)


def test_a_decision_goes_by_the_newest_version_and_names_it(project, capsys):
    version = "retrain.version={file: visits.parquet.dvc, by: update}"
    decide("2020-04-15", rules=[version])
    make_visits(271).write_parquet(project.parent / "source.parquet")
    (project / "visits.parquet").unlink()  # as in a fresh clone

    decide("2020-04-15T01:00", rules=[version])

    first, second = read_decisions("visits", root=project).items
    assert (second.action, second.reasons) == ("suggest", ["data: the data are another version"])
    names = [decided.evidence["version"]["outputs"]["visits.parquet"] for decided in (first, second)]
    assert names[1] in (project / "visits.parquet.dvc").read_text()
    assert names[0] != names[1]
