"""Dashboards as code: what they hold, without a server; and what a server gets, from one on this machine."""

import json
import os
import subprocess
import sys

import pytest

import loopback_server
from runs import QUICK, treadle
from treadle.sweeps.declaration import write
from treadle.sweeps.declare import declare

pytest.importorskip("wandb_workspaces")

TINY = [word for word in QUICK if not word.startswith(("evaluation.", "model="))]
SWEPT = ["model=mlp,tabm", "schedule.optimizer.lr=tag(log,interval(1e-4,1e-1))", "seed=range(3)", "sweep=random"]


@pytest.fixture
def sweep(project):
    declared = declare([*TINY, *SWEPT], root=project)
    write(declared)
    return declared


def write_views(*words):
    assert treadle("dashboard", *words, "-o", "views.json") == 0
    with open("views.json") as file:  # noqa: PTH123 - the current folder is the project's
        return json.load(file)


def list_panels(workspace):
    """By section, each as kind and configuration."""
    sections = workspace["spec"]["section"]["panelBankConfig"]["sections"]
    return {s["name"]: [(panel["viewType"], panel["config"]) for panel in s["panels"]] for s in sections}


@pytest.mark.slow
def test_a_sweep_is_drawn_by_setting_with_the_range_of_its_seeds(sweep):
    workspace = write_views(f"sweeps/{sweep.name}")["workspace"]
    panels = list_panels(workspace)

    assert list(panels) == [
        "About", "Learning curves", "Settings", "Model beside baselines, on the test split",
        "Calibration and curves, on the test split", "Runs compared", "System",
    ]  # fmt: skip
    kind, first = panels["Learning curves"][0]
    assert (kind, first["metrics"], first["xAxis"]) == ("Run History Line Plot", ["valid/loss"], "epoch")
    assert (first["groupBy"], first["groupAgg"], first["groupArea"]) == ("sweep.value.setting", "mean", "minmax")
    kind, axes = panels["Settings"][0]
    assert (kind, [column["accessor"] for column in axes["columns"]]) == (
        "Parallel Coordinates Plot",
        ["config:sweep.value.options.model", "config:schedule.value.optimizer.lr", "summary:best/loss"],
    )
    assert [column.get("log") for column in axes["columns"]] == [False, True, None]
    kind, importance = panels["Settings"][1]
    assert (kind, importance["targetKey"]) == ("Parameter Importance", "best/loss")
    assert panels["Model beside baselines, on the test split"][0][1]["metrics"] == [
        "model/rmse", "prior/rmse", "linear/rmse", "gradient_boosting/rmse",
    ]  # fmt: skip
    (runs,) = workspace["spec"]["section"]["runSets"]
    assert sweep.name in json.dumps(runs["filters"])
    assert runs["grouping"] == [{"section": "config", "name": "sweep.value.setting"}]
    assert "config:schedule.value.optimizer.lr" in runs["runFeed"]["columnPinned"]


@pytest.mark.slow
def test_the_same_declaration_gives_the_same_text_in_which_no_id_is_twice(sweep):
    before, after = (write_views(f"sweeps/{sweep.name}") for _ in range(2))
    assert before == after
    ids = [value for key, value in walk(before) if key == "__id__"]
    assert len(ids) == len(set(ids)) > 20


def walk(value):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield key, inner
        yield from walk(inner)


def test_an_experiment_is_drawn_run_by_run(project):
    views = write_views("california", "schedule.monitor=rmse", "tracker.system_metrics=false")
    panels = list_panels(views["workspace"])
    assert "Settings" not in panels
    assert "System" not in panels
    first = panels["Learning curves"][0][1]
    assert (first["metrics"], "groupBy" in first) == (["valid/rmse"], False)
    (runs,) = views["workspace"]["spec"]["section"]["runSets"]
    assert '"name.value"' in json.dumps(runs["filters"])
    assert "House prices" not in views["report"]["displayName"]


def test_without_an_account_the_specification_is_written_beside_the_sweep(sweep, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert treadle("dashboard", f"sweeps/{sweep.name}") == 0
    file = f"sweeps/{sweep.name}/dashboard.offline.json"
    assert f"wrote      {file}" in capsys.readouterr().out
    assert (sweep.root / file).is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweeps/{name}", "model=mlp"], "'model=mlp': a sweep is declared already; leave the overrides out"),
        (["californai"], "Did you mean 'california'?"),
        (["conf"], "conf is no sweep: it has no sweep.yaml"),
    ],
)
def test_a_subject_that_is_none_is_named(sweep, capsys, words, said):
    assert treadle("dashboard", *(word.format(name=sweep.name) for word in words)) == 2
    assert said in capsys.readouterr().err


def test_without_the_extra_its_name_is_told(project, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    for name in ("wandb_workspaces.reports.v2", "treadle.dashboards.views", "treadle.dashboards.panels"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("treadle.dashboards.views", raising=False)
    assert treadle("dashboard", "california") == 2
    assert "pip install 'treadle[dashboards]'" in capsys.readouterr().err


SAVE_TWICE = """\
import sys
from treadle.cli.main import main

for number in range(2):
    assert main(["dashboard", sys.argv[1]]) == 0
"""


@pytest.mark.exhaustive
def test_a_key_that_no_server_accepts_is_told_in_one_message(project):
    command = [sys.executable, "-m", "treadle", "dashboard", "california"]
    environment = {**os.environ, "WANDB_API_KEY": "short"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "no access with the account of this machine: WANDB_API_KEY invalid" in done.stderr
    assert "bug in Treadle" not in done.stderr


@pytest.mark.slow
def test_a_server_gets_both_views_and_the_second_time_the_same_ones(sweep, tmp_path_factory):
    """In a process of its own, for W&B reads the environment once."""
    caches = tmp_path_factory.mktemp("caches")
    own = {f"WANDB_{kind}_DIR": str(caches / kind.lower()) for kind in ("CACHE", "DATA", "CONFIG")}
    with loopback_server.serve() as (url, received):
        environment = {**os.environ, **own, "WANDB_BASE_URL": url, "WANDB_API_KEY": "0" * 40}
        command = [sys.executable, "-c", SAVE_TWICE, f"sweeps/{sweep.name}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

    assert received.projects == ["treadle"]  # the upload of a run would make it, too
    assert {name: view["type"] for name, view in received.views.items()} == {"view0": "project-view", "view1": "runs"}
    assert received.upserts == [None, None, "view0", "view1"]
    workspace, report = (json.loads(view["spec"]) for view in received.views.values())
    name = received.views["view0"]["name"]
    assert done.stdout.splitlines()[0] == f"workspace  {url}/me/treadle?nw={name[3:-2]}"
    assert [s["name"] for s in workspace["section"]["panelBankConfig"]["sections"]][1] == "Learning curves"
    grid = next(block for block in report["blocks"] if block["type"] == "panel-grid")
    assert grid["metadata"]["runSets"][0]["project"] == {"id": "12", "name": "treadle", "entityName": "me"}
    kept = json.loads((sweep.folder / "dashboard.json").read_text())
    assert kept == {
        "where": {"server": url, "entity": "me", "project": "treadle"},
        "workspace": name, "workspace_id": "view0", "report": "view1",
    }  # fmt: skip
