"""A made project, used as its user would: real git, real DVC, an environment of its own."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import messy
from runs import treadle
from treadle.config.shipped import find_shipped

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def run(folder, *command):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "DVC", "PYTHON"))}
    environment |= {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def give_this_environment(project):
    """`make` finds one, and installs nothing."""
    (project / ".venv").mkdir()
    (project / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (project / ".venv" / ".installed").touch()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project of 200 rows, made by the command line; tests only read it."""
    folder = tmp_path_factory.mktemp("made")
    file = messy.write_csv(folder / "sales.csv", messy.make_rows())
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as out:
        assert treadle("init", "shop", "--from", str(file), "--target", "answer") == 0
    assert "answer: binary (two different values; positive class 'yes', by its name)" in out.getvalue()
    return folder


@pytest.fixture
def shop(made, tmp_path, monkeypatch):
    """A copy of it, to be edited."""
    monkeypatch.setattr(sys, "path", sys.path[:])  # a verb adds packages that the next init would see
    return shutil.copytree(made, tmp_path / "made", symlinks=True) / "shop"


def test_git_and_dvc_hold_what_they_should(shop):
    run(shop, "git", "add", ".")
    run(shop, "git", "commit", "--quiet", "-m", "Begin")

    files = run(shop, "git", "ls-files").split()
    assert {"data.dvc", "dvc.yaml", "constraints.txt", "conf/data/shop.yaml", "tests/test_parity.py"} <= set(files)
    assert any(name.startswith(".dvcstore/") for name in files)
    assert not any(name.startswith(("data/", ".dvc/cache", ".dvc/tmp")) for name in files)


def test_no_file_in_git_names_a_path_of_this_machine(shop):
    """Where this machine has Treadle from stands in a file that git ignores, and `make` reads."""
    run(shop, "git", "add", ".")

    texts = {name: (shop / name).read_bytes() for name in run(shop, "git", "ls-files").split()}

    local = (shop / ".treadle-source").read_text().strip()
    assert local.startswith("treadle[boosting] @ file://")
    assert [name for name, text in texts.items() if str(ROOT).encode() in text or b"file://" in text] == []
    assert b'"treadle[boosting]>=0.1.0,<0.2"' in texts["pyproject.toml"]
    assert f"'{local}'" in run(shop, "make", "--dry-run", "--always-make", ".venv/.installed")


def test_its_model_is_chosen_by_its_rows(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)

    assert treadle("explain", "model_choice.rows") == 0

    assert capsys.readouterr().out.startswith("model_choice.rows = 1")  # of 200


def test_a_fresh_clone_has_its_data(shop, tmp_path):
    run(shop, "git", "add", ".")
    run(shop, "git", "commit", "--quiet", "-m", "Begin")
    run(tmp_path, "git", "clone", "--quiet", str(shop), "clone")

    run(tmp_path / "clone", sys.executable, "-m", "dvc", "pull", "--quiet", "data.dvc")

    assert (tmp_path / "clone/data/shop/sales.csv").read_bytes() == (shop.parent / "sales.csv").read_bytes()


def test_inside_a_repository_it_is_a_part_of_it(tmp_path, monkeypatch):
    run(tmp_path, "git", "init", "--quiet")
    monkeypatch.chdir(tmp_path)
    file = messy.write_csv(tmp_path / "sales.csv", messy.make_rows())

    assert treadle("init", "shop", "--from", str(file), "--target", "answer") == 0

    assert not (tmp_path / "shop" / ".git").exists()
    assert "shop/data.dvc" in run(tmp_path, "git", "status", "--porcelain", "--untracked-files=all")
    assert run(tmp_path, "git", "diff", "--cached", "--name-only") == ""  # what is committed is up to the user


def test_a_git_folder_in_the_environment_is_not_followed(tmp_path, monkeypatch):
    run(tmp_path, "git", "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.chdir(tmp_path)
    file = messy.write_csv(tmp_path / "sales.csv", messy.make_rows())

    assert treadle("init", "shop", "--from", str(file), "--target", "answer") == 0

    assert (tmp_path / "shop" / ".git").is_dir()


@pytest.mark.parametrize("model", ["linear", pytest.param("auto", marks=pytest.mark.exhaustive)])
def test_make_test_passes_with_many_odd_classes(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    classes = ["a/b", "c d", 'e"f', "g{h}", "i'j", "k.l", "m,n", "o=p", "q\nr", "${s}"]
    file = messy.write_csv(tmp_path / "sales.csv", messy.make_rows() | {"kind": classes * (messy.ROWS // len(classes))})
    assert treadle("init", "shop", "--from", str(file), "--target", "kind") == 0
    config = tmp_path / "shop/conf/config.yaml"
    assert "- model: auto" in config.read_text()
    config.write_text(config.read_text().replace("- model: auto", f"- model: {model}"))
    give_this_environment(tmp_path / "shop")

    run(tmp_path / "shop", "make", "test")


def test_what_is_shipped_is_given_as_it_is(shop):
    for name in ("constraints.txt", "dvc.yaml"):
        assert (shop / name).read_bytes() == find_shipped(name).read_bytes()


def paste_the_code_of_its_readme(shop):
    """A model and a transform of the user's own."""
    code = (shop / "README.md").read_text().split("```")
    blocks = [block.partition("\n")[2] for block in code if block.startswith(("python\n", "yaml\n"))]
    wide, wide_yaml, clip, clip_yaml = blocks
    (shop / "src/shop/wide.py").write_text(wide)
    (shop / "src/shop/clip.py").write_text(clip)
    (shop / "conf/model").mkdir()
    (shop / "conf/model/wide.yaml").write_text(wide_yaml)
    features = shop / "conf/features/shop.yaml"
    bins = next(line for line in features.read_text().splitlines() if "bins:" in line)
    features.write_text(features.read_text().replace(bins, f"{clip_yaml.splitlines()[1]}\n{bins}", 1))


@pytest.mark.exhaustive  # tests/test_dvc.py runs `make demo`, too
def test_make_demo_passes_with_a_model_and_a_transform_of_ones_own(shop):
    """One epoch is enough."""
    paste_the_code_of_its_readme(shop)
    selection = yaml.safe_load((shop / "params.yaml").read_text())
    assert selection["set"] == {}
    (shop / "params.yaml").write_text(
        yaml.safe_dump({**selection, "model": "wide", "set": {"schedule": {"max_epochs": 1}}})
    )
    give_this_environment(shop)

    run(shop, "make", "demo")

    metrics = json.loads((shop / "artifacts/evaluation/metrics.json").read_text())
    assert list(metrics) == ["model", "prior", "linear", "gradient_boosting"]
    resolved = yaml.safe_load((shop / "resolved.yaml").read_text())
    assert resolved["model"]["_target_"] == "shop.wide.Wide"
    assert "shop.clip.Clip" in json.dumps(resolved["features"])


@pytest.mark.exhaustive
def test_make_demo_and_make_test_pass_in_an_environment_of_its_own(tmp_path, monkeypatch):
    """`make` installs; the 20,640 rows of california, and nothing edited."""
    monkeypatch.chdir(tmp_path)
    table = ROOT / "data/california/california.parquet"
    assert treadle("init", "houses", "--from", str(table), "--target", "MedHouseVal") == 0
    houses = tmp_path / "houses"
    python = f"PYTHON={shutil.which(f'python{sys.version_info.major}.{sys.version_info.minor}') or sys.executable}"

    run(houses, "make", "demo", python)
    run(houses, "make", "test", python)

    metrics = json.loads((houses / "artifacts/evaluation/metrics.json").read_text())
    assert metrics["model"]["rmse"] < metrics["linear"]["rmse"] < metrics["prior"]["rmse"]
    assert metrics["model"]["rmse"] < 0.46
