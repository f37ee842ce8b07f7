"""A sweep as a definition for W&B, and a run under W&B's own agent, with a server on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import loopback_server
from runs import QUICK, treadle

TINY = [word for word in QUICK if not word.startswith(("evaluation.", "model=", "model."))]


def define(*words):
    assert treadle("run", "-m", *TINY, *words, "--to-wandb", "sweep.yaml") == 0
    return yaml.safe_load(Path("sweep.yaml").read_text())


@pytest.mark.slow
def test_a_space_becomes_parameters_and_what_is_fixed_the_command(project):
    definition = define(
        "model=mlp,tabm", "schedule.optimizer.lr=tag(log,interval(1e-4,1e-1))", "trainer.threads=1",
        "model.width=tag(log,int(interval(8,64)))", "model.dropout=interval(0,0.5)",
        "schedule.max_epochs=int(interval(1,3))", "schedule.gradient_clip=null,1e-1",
        "sweep=tpe", "sweep.pruner=hyperband", "sweep.seeds=2", "sweep.max_trials=7",
    )  # fmt: skip
    assert definition["parameters"] == {
        "model": {"values": ["mlp", "tabm"]},
        "schedule.optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "model.width": {"distribution": "q_log_uniform_values", "q": 1, "min": 8, "max": 64},
        "model.dropout": {"distribution": "uniform", "min": 0.0, "max": 0.5},
        "schedule.max_epochs": {"distribution": "int_uniform", "min": 1, "max": 3},
        "schedule.gradient_clip": {"values": ["null", 0.1]},  # texts of overrides, where no number
        "seed": {"values": [0, 1]},
    }
    fixed = [word for word in TINY if not word.startswith("schedule.max_epochs")]
    command = ["treadle", "train", *fixed, "trainer.threads=1", "tracker.mode=online", "${args_no_hyphens}"]
    assert definition["command"] == command
    assert definition["metric"] == {"name": "valid/loss", "goal": "minimize"}
    assert (definition["method"], definition["run_cap"]) == ("bayes", 7)
    assert definition["early_terminate"] == {"type": "hyperband", "min_iter": 1, "eta": 3}
    assert "# W&B has no replicates" in Path("sweep.yaml").read_text()
    assert not (project / "sweeps").exists()


@pytest.mark.slow
def test_a_grid_runs_to_its_end_and_evaluates_where_that_is_asked_for(project):
    definition = define("model=mlp", "model.width=16,32", "tracker=offline", "--evaluate", "all")
    assert definition["method"] == "grid"
    assert "run_cap" not in definition
    assert definition["command"] == ["treadle", "run", *TINY, "model=mlp", "tracker=offline", "${args_no_hyphens}"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "model=linear,mlp", "model.width=16,32"], "'model.width' exists under some of model only"),
        (["-m", "model=mlp", "model.width=16,32", "sweep.objective=[rmse,mae]"], "a sweep of W&B has one metric"),
        (["-m", "model=mlp", "model.width=16,32", "--evaluate", "best"], "--evaluate best: an agent of W&B"),
        (["-m", "model=mlp", "model.width=16,32", "tracker=csv"], "the tracker is 'csv'"),
        (["model=mlp"], "--to-wandb writes the definition of a sweep: add -m"),
    ],
)
def test_what_w_and_b_cannot_express_is_refused(project, capsys, words, said):
    assert treadle("run", *TINY, *words, "--to-wandb", "sweep.yaml") == 2
    assert said in capsys.readouterr().err
    assert not Path("sweep.yaml").exists()


@pytest.mark.exhaustive
def test_an_agent_trains_with_its_parameters_and_its_runs_belong_to_its_sweep(project, tmp_path_factory):
    """Twice the same values: the second run trains nothing, and has its record none the less."""
    define("model=mlp,tabm", "schedule.optimizer.lr=interval(1e-3,1e-1)", "model.width=16", "sweep=random")
    asked = {"model": {"value": "mlp"}, "schedule.optimizer.lr": {"value": 0.01}}
    caches = tmp_path_factory.mktemp("caches")
    own = {f"WANDB_{kind}_DIR": str(caches / kind.lower()) for kind in ("CACHE", "DATA", "CONFIG")}
    binaries = Path(sys.executable).parent
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    with loopback_server.serve() as (url, received):
        environment = {**os.environ, **own, "WANDB_BASE_URL": url, "WANDB_API_KEY": "0" * 40, "PATH": path}
        received.commands = [
            {"type": "run", "run_id": name, "program": "treadle", "args": asked} for name in ("first", "second")
        ]
        for command in (["sweep", "sweep.yaml"], ["agent", "me/treadle/sweep0"]):
            done = subprocess.run(
                [binaries / "wandb", *command],
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, done.stderr

    assert sorted(received.runs) == ["first", "second"]
    for name, run in received.runs.items():
        config = received.config(name)
        assert (run["sweep"], received.files[name]["exitcode"]) == ("sweep0", 0)
        assert config["schedule.optimizer.lr"] == config["schedule"]["optimizer"]["lr"] == 0.01
        assert config["model"]["_target_"] == "treadle.models.mlp.Mlp"  # not covered by the name of its option
        assert config["sweep"] == {"setting": "model=mlp schedule.optimizer.lr=0.01", "options": {"model": "mlp"}}
        assert [row["epoch"] for row in received.history(name)] == [1, 2]
    assert len(list(project.glob("runs/california-*"))) == 1
    assert len(list(project.glob("runs/*/wandb/run-2*"))) == 2
    assert not list(project.glob("runs/*/evaluation"))
