"""Edited while it works: what a stage makes of that never bears the name of what stood there before."""

import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from runs import QUICK, ROOT, find_run, forget_sources, run_quick, treadle
from treadle.check.resolve import resolve
from treadle.pipeline import run
from treadle.pipeline.inputs import ChangedError

pytestmark = pytest.mark.fast_cases(1)

NO_WANDB = "tracker=disabled"
NET = """
import os
from pathlib import Path

from torch import nn


class Net(nn.Module):
    def __init__(self, *, num_numeric, cardinalities, num_outputs):
        super().__init__()
        self.net = nn.Linear(num_numeric, num_outputs)
        if "EDIT_NET" in os.environ:
            Path(__file__).write_text(os.environ["EDIT_NET"])

    def forward(self, numeric, ids):
        return self.net(numeric)
"""
OTHER_NET = NET.replace("self.net(numeric)", "self.net(numeric) * 2")


@pytest.fixture
def own(project, request, monkeypatch):
    """A network of the project's, in a package that no other test has loaded."""
    name = f"own_{abs(hash(request.node.name))}"
    (project / name).mkdir()
    (project / name / "__init__.py").write_text("")
    (project / name / "net.py").write_text(NET)
    (project / "conf/model/own.yaml").write_text(f"_target_: {name}.net.Net\n")
    config = project / "conf/config.yaml"
    config.write_text(config.read_text().replace("targets:\n", f"targets:\n  - {name}.\n"))
    monkeypatch.syspath_prepend(str(project))
    forget_sources()
    yield project / name / "net.py"
    forget_sources()


def own_quick(*overrides, verb="train"):
    return treadle(verb, *(word for word in QUICK if not word.startswith("model")), "model=own", NO_WANDB, *overrides)


def run_editing(project, edit, *, upto, overrides):
    """A run in which `edit` happens as soon as the stage is announced; the lines that it prints."""
    said = []

    def notify(line):
        said.append(line)
        if line == f"{upto:<10} …":
            edit()

    run(resolve(overrides=[*overrides, NO_WANDB], root=project), root=project, upto=upto, notify=notify)
    return said


def list_kept(project, stage):
    return [path for path in project.glob(f"runs/.stages/{stage}/*") if path.is_dir()]


# --- data ---------------------------------------------------------------------------------------------


@pytest.fixture
def table(project):
    (project / "data").unlink()
    (project / "data/california").mkdir(parents=True)
    return Path(shutil.copy(ROOT / "data/california/california.parquet", project / "data/california"))


def keep_time(table, edit):
    before = table.stat()
    edit(table)
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(table):
    keep_time(table, lambda file: pl.read_parquet(file).head(20_000).write_parquet(file))


def swap_and_put_back(table):
    kept = Path(shutil.copy2(table, table.with_suffix(".kept")))
    swap(table)
    kept.replace(table)


def flip_a_byte(table):
    content = bytearray(table.read_bytes())
    content[len(content) // 3] ^= 1
    table.write_bytes(content)


@pytest.mark.parametrize("edit", [swap, swap_and_put_back])
def test_a_table_that_is_swapped_while_prepare_runs_keeps_no_result(project, table, edit):
    with pytest.raises(ChangedError, match=r"prepare: data/california/california.parquet was written to while") as told:
        run_editing(project, lambda: edit(table), upto="prepare", overrides=QUICK)

    assert "run the same command again" in str(told.value)
    assert not list_kept(project, "prepare")
    assert run_quick(NO_WANDB, verb="prepare") == 0


def test_a_table_of_the_same_size_and_time_of_change_is_another_one(project, table):
    run_quick(NO_WANDB, verb="prepare")

    keep_time(table, flip_a_byte)
    run_quick(NO_WANDB, verb="prepare")

    assert len(list(project.glob("runs/*/resolved.yaml"))) == 2


# --- code ---------------------------------------------------------------------------------------------


def test_a_source_edited_before_it_is_loaded_costs_no_training(project, own, capsys):
    overrides = [*(word for word in QUICK if not word.startswith("model")), "model=own"]

    with pytest.raises(ChangedError, match=r"train: own_\d+/net.py was written to while the stage read it"):
        run_editing(project, lambda: own.write_text(OTHER_NET), upto="train", overrides=overrides)

    assert not list_kept(project, "train")
    assert "\nepoch " not in capsys.readouterr().out


def test_a_source_edited_during_the_training_keeps_no_result_and_loses_no_epoch(project, own, capsys, monkeypatch):
    monkeypatch.setenv("EDIT_NET", OTHER_NET)
    assert own_quick() == 2
    said = capsys.readouterr()
    assert "net.py was edited while the stage ran, so that its result is not kept" in said.err
    assert "epoch   2" in said.out
    assert not list_kept(project, "train")
    folder = find_run(project)
    assert not (folder / "bundle").exists()

    monkeypatch.delenv("EDIT_NET")
    own.write_text(NET)
    forget_sources()
    assert own_quick(verb="run") == 0
    assert "\nepoch " not in capsys.readouterr().out
    resumed = json.loads((folder / "evaluation/metrics.json").read_text())
    assert not (folder / "checkpoints").exists()

    shutil.rmtree(project / "runs")
    own_quick(verb="run")
    assert json.loads((find_run(project) / "evaluation/metrics.json").read_text()) == resumed


def test_a_comment_edited_during_the_training_changes_nothing(project, own, monkeypatch):
    monkeypatch.setenv("EDIT_NET", NET + "# a remark\n")

    assert own_quick() == 0


def test_a_stage_of_dvcs_does_not_run_other_code_than_was_composed(project, own, capsys):
    overrides = [*(word for word in QUICK if not word.startswith("model")), "model=own", NO_WANDB]
    assert treadle("compose", *overrides, "-o", "resolved.yaml") == 0
    stage = ["--resolved", "resolved.yaml", "--folder", "artifacts"]
    for name in ("prepare", "featurize"):
        assert treadle(name, *stage) == 0
    own.write_text(OTHER_NET)

    assert treadle("train", *stage) == 2

    assert "train: its code is not the one that resolved.yaml was composed from" in capsys.readouterr().err
    assert not (project / "artifacts/bundle").exists()
