"""The scripts, driven: a TAB in a real bash, zsh and fish. A shell that the machine lacks is left out."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from terminal import Terminal, make_environment

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with two runs and a file."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name in ("flights-1", "adult-1"):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "stages.json").write_text("{}")
    (folder / "rows.parquet").touch()
    return folder


def require(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")


@pytest.fixture(scope="module", params=["bash", "zsh"])
def terminal(request, folder):
    require(request.param)
    terminal = Terminal(request.param, folder=folder)
    yield terminal
    terminal.close()


@pytest.mark.fast_cases(12)
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("treadle ev", "treadle evaluate "),
        ("treadle run mod", "treadle run model"),
        ("treadle run model=re", "treadle run model=resnet "),
        ("treadle run model=ta", "treadle run model=tabm"),
        ("treadle run model=mlp,re", "treadle run model=mlp,resnet "),
        ("treadle run --why model=mlp sched", "treadle run --why model=mlp schedule"),
        ("treadle run schedule.max_e", "treadle run schedule.max_epochs="),
        ("treadle run schedule.opt", "treadle run schedule.optimizer."),
        ("treadle run schedule.optimizer.l", "treadle run schedule.optimizer.lr="),
        ("treadle run ++schedule.max_s", "treadle run ++schedule.max_steps="),
        ("treadle run exp", "treadle run experiment="),
        ("treadle run model._target_=treadle.models.r", "treadle run model._target_=treadle.models.resnet.ResNet "),
        ("treadle check --form", "treadle check --format "),
        ("treadle check --format gi", "treadle check --format github "),
        ("treadle check --format=gi", "treadle check --format=github "),
        ("treadle compare runs/f", "treadle compare runs/flights-1 "),
        ("treadle predict runs/flights-1 ro", "treadle predict runs/flights-1 rows.parquet "),
        ("treadle predict -o ro", "treadle predict -o rows.parquet "),
        ("treadle check --selection con", "treadle check --selection conf/"),
        ("treadle check --selection=con", "treadle check --selection=conf/"),
        ("treadle run nothing=", "treadle run nothing="),
        ("treadle run model=resnet", "treadle run model=resnet "),
        ("cd . && treadle run model=re", "cd . && treadle run model=resnet "),
        ("COLOR=1 treadle run model=re", "COLOR=1 treadle run model=resnet "),
    ],
)  # fmt: skip
def test_a_tab_completes(terminal, typed, line):
    assert terminal.complete(typed) == line


def test_a_tab_after_a_path_asks_that_command(terminal, folder):
    """Not the one that happens to be in PATH."""
    command = f"{Path(sys.executable).parent}/treadle"

    assert terminal.complete(f"{command} run model=re") == f"{command} run model=resnet "


@pytest.mark.slow
def test_bash_completes_where_the_equals_sign_is_no_word_break(folder):
    terminal = Terminal("bash", folder=folder)
    terminal.run("COMP_WORDBREAKS=${COMP_WORDBREAKS//=}")

    assert terminal.complete("treadle run model=re") == "treadle run model=resnet "
    assert terminal.complete("treadle run schedule.max_e") == "treadle run schedule.max_epochs="

    terminal.close()


def test_bash_lists_experiments_first(folder):
    script = 'eval "$(treadle completion bash)"; compopt() { :; }; _treadle treadle; printf "%s\\n" "${COMPREPLY[@]}"'
    typed = make_environment(folder) | {"COMP_LINE": "treadle run ", "COMP_POINT": "12"}

    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, cwd=folder, env=typed)

    assert done.stdout.splitlines()[:2] == ["experiment=", "augmentation."]


# --- fish ---------------------------------------------------------------------------------------------


@pytest.mark.fast_cases(4)
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("treadle ev", ["evaluate"]),
        ("treadle ", ["run", "prepare", "featurize"]),
        ("treadle run ", ["experiment=", "augmentation.", "augmentation="]),
        ("treadle run model=ta", ["model=tabm", "model=tabm_large", "model=tabm_piecewise", "model=tabm_wide"]),
        ("treadle run model=mlp,re", ["model=mlp,resnet"]),
        ("treadle run --why schedule.max_e", ["schedule.max_epochs="]),
        ("treadle run schedule.opt", ["schedule.optimizer."]),
        ("treadle run +schedule.max_s", ["+schedule.max_steps="]),
        ("treadle run --w", ["--why"]),
        ("treadle check --format ", ["text", "json", "github"]),
        ("treadle check --format=g", ["--format=github"]),
        ("treadle compare runs/f", ["runs/flights-1"]),
        ("treadle predict runs/flights-1 ro", ["rows.parquet"]),
        ("treadle compose -o ro", ["rows.parquet"]),
        ("treadle check --selection=ro", ["--selection=rows.parquet"]),
        ("treadle run nothing=", []),
        ("cd . && treadle run model=re", ["model=resnet"]),
        ("COLOR=1 treadle run model=re", ["model=resnet"]),
    ],
)
def test_fish_completes(folder, typed, words):
    require("fish")
    script = f"treadle completion fish | source; complete -C '{typed}'"

    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        check=True, capture_output=True, text=True, cwd=folder, env=make_environment(folder),
    )  # fmt: skip

    found = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert found[: max(len(words), 1)] == words
    assert done.stderr == ""
