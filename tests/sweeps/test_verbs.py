"""The verbs of sweeps on the command line, where nothing has to be trained."""

import json

import pytest

from runs import QUICK, treadle
from treadle.sweeps.declaration import write
from treadle.sweeps.declare import declare
from treadle.sweeps.ledger import Ledger
from treadle.sweeps.plan import Plan

TINY = [word for word in QUICK if not word.startswith("evaluation.")]


def test_why_lists_what_each_trial_would_run_and_runs_none(project, capsys):
    assert treadle("run", "-m", "--why", *TINY, "model.num_layers=1,2", "seed=3,4", "sweep.max_trials=1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 setting by grid, 2 seeds each",
        "num_layers=1 seed=3: would run prepare, featurize, train",
        "num_layers=1 seed=4: would run prepare, featurize, train",
    ]
    assert treadle("run", "-m", "--why", *TINY, "schedule.optimizer.lr=interval(1e-4,1e-2)", "sweep=random") == 0
    assert "random suggests each setting" in capsys.readouterr().out
    assert not (project / "sweeps").exists()
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "--cfg", "job", "seed=0,1"], "--cfg prints one configuration, and -m runs many"),
        (["--evaluate", "best"], "--evaluate chooses among the runs of a sweep: add -m"),
        (["-m", "--like", "runs/x", "seed=0,1"], "--like runs one experiment, and -m many"),
    ],
)
def test_options_that_exclude_each_other_are_refused(project, capsys, words, said):
    assert treadle("run", *TINY, *words) == 2
    assert said in capsys.readouterr().err
    assert not (project / "runs").exists()


@pytest.mark.slow
def test_a_check_of_a_sweep_takes_the_selection_and_the_format(project, capsys):
    selection = project / "params.yaml"
    selection.write_text("experiment: california\nmodel: mlp\nset: {model.width: 16}\n")
    words = ["check", "-m", "--selection", "params.yaml"]
    assert treadle(*words, "seed=range(3)", "model.num_layers=1,2", "sweep.max_trials=1") == 0
    assert ": OK, 1 setting by grid, 3 seeds each" in capsys.readouterr().out
    assert treadle(*words, "seed=0,1", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == []
    selection.write_text("experiment: california\nmodel: mlp\nset: {model.width: -16}\n")
    assert treadle(*words, "seed=0,1", "--format", "json") == 2
    (problem,) = json.loads(capsys.readouterr().out)
    assert (problem["key"], problem["file"], problem["line"]) == ("model.width", "params.yaml", 3)
    assert treadle(*words, "seed=0,1", "--format", "github") == 2
    assert capsys.readouterr().out.startswith("::error file=params.yaml,line=3,")


@pytest.mark.exhaustive
def test_a_sweep_of_another_project_is_resumed_and_compared_there(project, tmp_path_factory, monkeypatch, capsys):
    sweep = declare([*TINY, "seed=0,1"], root=project)
    write(sweep)
    ledger = Ledger(sweep.folder)
    Plan(sweep, ledger, project, lambda *_: None).add_grid()
    for number in (1, 2):
        ledger.end(number, "done", values=[0.5])
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert treadle("resume", str(sweep.folder)) == 0
    assert f"sweep    {sweep.folder}\n" in capsys.readouterr().out
    assert treadle("compare", str(sweep.folder), "--html", "page.html") == 0
    assert "2 trials: 2 done" in capsys.readouterr().out
    assert [path.name for path in elsewhere.iterdir()] == ["page.html"]
    monkeypatch.chdir(sweep.folder.parent)
    assert treadle("resume", sweep.name) == 0
    assert f"sweep    {sweep.name}\n" in capsys.readouterr().out


def test_only_a_sweep_is_recorded_for_dvc_and_only_where_dvc_is(project, capsys):
    sweep = declare([*TINY, "seed=0,1"], root=project)
    write(sweep)
    ledger = Ledger(sweep.folder)
    Plan(sweep, ledger, project, lambda *_: None).add_grid()
    for number in (1, 2):
        ledger.end(number, "done", values=[0.5])
    assert treadle("compare", str(sweep.folder), "--to-dvc", "1") == 2
    assert "has no commit with dvc.yaml and params.yaml" in capsys.readouterr().err
    assert treadle("compare", "--to-dvc", "1") == 2
    assert "give one sweep, or `treadle adopt` a run" in capsys.readouterr().err
