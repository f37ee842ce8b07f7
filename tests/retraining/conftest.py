"""Projects that have lived through decisions: a module's fixture `lived` makes one, a test may edit a copy of it."""

import contextlib
import shutil

import pytest

from drifting import make_visits_project


@pytest.fixture(scope="module")
def settle(tmp_path_factory):
    """Makes a project, in which the caller then works as in the current folder; gives its folder."""

    @contextlib.contextmanager
    def settle(*, breaks_at=None):
        folder = tmp_path_factory.mktemp("lived")
        make_visits_project(folder, breaks_at=breaks_at)
        with contextlib.chdir(folder):
            yield folder

    return settle


@pytest.fixture
def copied(lived, tmp_path, monkeypatch):
    """A copy of the module's project; the current directory."""
    folder = tmp_path / "project"
    shutil.copytree(lived, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder
