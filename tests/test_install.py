"""Treadle as a dependency: conf/ lies in the package, and a project holds its own deltas alone."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest


@pytest.fixture
def installed(tmp_path, root):
    """The package as the wheel lays it out."""
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    shutil.copytree(root / "src" / "treadle", tmp_path / "site" / "treadle")
    for source, target in wheel["force-include"].items():
        copy = shutil.copytree if (root / source).is_dir() else shutil.copyfile
        copy(root / source, tmp_path / "site" / target)
    return tmp_path / "site"


def run(installed, project, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "treadle", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_folder_without_conf_has_the_shipped_experiments(installed, tmp_path):
    done = run(installed, tmp_path, "check", "experiment=adult")

    assert done.stdout == "adult: sound\n", done.stderr


@pytest.mark.slow
def test_a_project_adds_its_own_to_the_shipped_groups(installed, tmp_path, root):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    shutil.copyfile(root / "conf" / "config.yaml", tmp_path / "conf" / "config.yaml")
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: mlp\nname: mine\n"
    )

    assert run(installed, tmp_path, "check", "experiment=mine").stdout == "mine: sound\n"
    assert "linear, mlp" in run(installed, tmp_path, "check", "experiment=mine", "model=nn").stderr
    completed = run(installed, tmp_path, "completion", "bash", "--words", "run", "experiment=m").stdout
    assert completed == "experiment=mine\n"


def test_templates_and_types_lie_in_the_package(installed):
    assert (installed / "treadle" / "py.typed").is_file()
    assert (installed / "treadle" / "pages" / "report.html.jinja").is_file()
