"""Treadle as a dependency: conf/ lies in the package, and a project holds its own deltas alone."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet


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


@pytest.mark.slow
def test_a_folder_without_conf_has_the_shipped_experiments(installed, tmp_path, root):
    (tmp_path / "data").symlink_to(root / "data")

    done = run(installed, tmp_path, "check", "experiment=adult")

    assert done.stdout == "adult: OK\n", done.stderr


@pytest.mark.slow
def test_a_project_adds_its_own_to_the_shipped_groups(installed, tmp_path, root):
    (tmp_path / "data").symlink_to(root / "data")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    shutil.copyfile(root / "conf" / "config.yaml", tmp_path / "conf" / "config.yaml")
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: mlp\nname: mine\n"
    )

    assert run(installed, tmp_path, "check", "experiment=mine").stdout == "mine: OK\n"
    assert "linear, mlp" in run(installed, tmp_path, "check", "experiment=mine", "model=nn").stderr
    completed = run(installed, tmp_path, "completion", "bash", "--words", "run", "experiment=mi").stdout
    assert completed == "experiment=mine\n"


def test_every_pinned_library_takes_the_first_release_of_the_oldest_python(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = (root / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if not line.startswith("#")}
    found = [library for library in metadata.distributions() if library.name.lower() in pinned]
    oldest = project["requires-python"].partition(">=")[2].partition(",")[0]

    refusing = [
        f"{library.name} {library.version}"
        for library in found
        if f"{oldest}.0" not in SpecifierSet(library.metadata["Requires-Python"] or "")
    ]

    assert len(found) > 50
    assert not refusing, "a system's Python is often an early one: Debian 12 has 3.11.2"


def test_templates_and_types_lie_in_the_package(installed):
    assert (installed / "treadle" / "py.typed").is_file()
    assert (installed / "treadle" / "pages" / "report.html.jinja").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["a folder", pytest.param("git", marks=pytest.mark.exhaustive)])
def test_pip_installs_it_from_a_checkout_and_from_git(tmp_path, root, way):
    """Into an environment of its own, outside of the repository; the libraries are those that this one has."""
    import pydantic

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    source = f"git+{root.as_uri()}" if way == "git" else str(root)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", source]
    subprocess.run(pip, check=True, cwd=tmp_path)
    (site / "libraries.pth").write_text(f"{Path(pydantic.__file__).parents[1]}\n")
    (tmp_path / "project").mkdir()
    table = "x,y\n" + "".join(f"{i % 17},{'yes' if i % 17 + i * 7919 % 31 > 23 else 'no'}\n" for i in range(400))
    (tmp_path / "project" / "table.csv").write_text(table)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def call(*arguments, folder=tmp_path / "project"):
        command = [str(python), "-m", "treadle", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert (
        str(site)
        in subprocess.run(
            [str(python), "-c", "import treadle; print(treadle.__file__)"], capture_output=True, text=True, check=True
        ).stdout
    )
    call("init", "shop", "--from", "table.csv", "--target", "y")
    quick = ["model=linear", "schedule.max_epochs=1", "evaluation.baselines=[prior]", "tracker=disabled"]
    assert "report" in call("run", *quick, folder=tmp_path / "project" / "shop")
