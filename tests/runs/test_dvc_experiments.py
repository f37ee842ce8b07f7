"""Runs as experiments of DVC, by what git then holds; `tests/test_dvc.py` has DVC itself read one."""

import json
import shutil
import subprocess

import pytest
import yaml

from runs import QUICK, ROOT, find_run, treadle
from treadle.errors import TreadleError
from treadle.runs.dvc_experiments import record
from treadle.sweeps.declaration import write
from treadle.sweeps.declare import declare
from treadle.sweeps.ledger import Ledger, Trial

WIDTH = "model.width=16"


@pytest.fixture
def git(project):
    def run(*arguments):
        done = subprocess.run(["git", *arguments], cwd=project, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def run(project, run_once, git):
    """A finished run, in a project under git and DVC whose pipeline ran with another selection."""
    finished = find_run(run_once("tracker=disabled").parent)
    folder = shutil.copytree(finished, project / "runs" / finished.name)
    shutil.copyfile(ROOT / "dvc.yaml", project / "dvc.yaml")
    (project / "artifacts" / "evaluation" / "plots").mkdir(parents=True)
    for name in ("metrics.csv", "validation.json", "evaluation/metrics.json", "evaluation/plots/roc.csv"):
        (project / "artifacts" / name).write_text("of another selection\n")
    (project / ".gitignore").write_text("runs/\ndata\n")
    git("init", "-q")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "begin")
    return folder


def find_commit(git, name):
    head = git("rev-parse", "HEAD")
    return git("rev-parse", f"refs/exps/{head[:2]}/{head[2:]}/{name}")


@pytest.mark.slow
def test_an_adopted_run_is_an_experiment_of_dvc_with_its_choices_and_its_metrics(project, run, git, capsys):
    assert treadle("adopt", str(run), "--as", "winner") == 0

    assert capsys.readouterr().out.splitlines()[-1] == "recorded winner as an experiment of DVC: `dvc exp show`"
    commit = find_commit(git, "winner")
    assert git("rev-parse", f"{commit}^") == git("rev-parse", "HEAD")
    params = yaml.safe_load(git("show", f"{commit}:params.yaml"))
    assert (params["experiment"], params["model"], params["set"]["model"]["width"]) == ("california", "mlp", 16)
    for name in ("metrics.csv", "validation.json", "evaluation/metrics.json"):
        assert git("show", f"{commit}:artifacts/{name}") == (run / name).read_text().strip()
    curves = git("ls-tree", "-r", "--name-only", commit, "artifacts/evaluation/plots").splitlines()
    assert sorted(curves) == sorted(
        f"artifacts/evaluation/plots/{file.name}" for file in (run / "evaluation/plots").iterdir()
    )
    resolved = yaml.safe_load(git("show", f"{commit}:resolved.yaml"))
    assert resolved["model"] == yaml.safe_load((run / "resolved.yaml").read_text())["model"]
    assert (
        git("show", f"{commit}:conf/experiment/winner.yaml")
        == (project / "conf/experiment/winner.yaml").read_text().strip()
    )
    assert git("status", "--porcelain").split() == ["M", "params.yaml", "??", "conf/experiment/winner.yaml"]


def test_of_a_run_that_is_not_evaluated_it_has_no_test_metrics(project, run, git):
    signatures = json.loads((run / "stages.json").read_text())
    (run / "stages.json").write_text(json.dumps({name: signatures[name] for name in ("prepare", "featurize", "train")}))

    assert record(run, name="trained", root=project)

    files = git("ls-tree", "-r", "--name-only", find_commit(git, "trained"), "artifacts").splitlines()
    assert files == ["artifacts/metrics.csv", "artifacts/validation.json"]
    (run / "stages.json").write_text(json.dumps({"prepare": signatures["prepare"]}))
    assert not record(run, name="prepared", root=project)


@pytest.mark.slow
def test_a_name_that_dvc_has_is_refused_before_anything_is_written(project, run, git, capsys):
    assert record(run, name="winner", root=project)
    assert treadle("adopt", str(run), "--as", "winner") == 2
    assert "DVC has an experiment winner on this commit" in capsys.readouterr().err
    assert not (project / "conf/experiment/winner.yaml").exists()


@pytest.mark.slow
def test_what_params_cannot_hold_is_selected_by_the_adopted_experiment(project, run, git):
    overrides = json.loads((run / "overrides.json").read_text())
    (run / "overrides.json").write_text(json.dumps([f"+{text}" if text == WIDTH else text for text in overrides]))
    with pytest.raises(TreadleError, match=r"'\+model.width=16' cannot stand in params.yaml; `treadle adopt` makes"):
        record(run, name="trial", root=project)

    assert treadle("adopt", str(run), "--as", "winner") == 0

    params = yaml.safe_load(git("show", f"{find_commit(git, 'winner')}:params.yaml"))
    assert {key: value for key, value in params.items() if value} == {"experiment": "winner"}


@pytest.mark.slow
def test_the_best_settings_of_a_sweep_are_recorded_once(project, run, git, capsys):
    sweep = declare([*QUICK, "seed=0,1"], root=project)
    write(sweep)
    ledger = Ledger(sweep.folder)
    ledger.add([Trial(1, {}, 0, "search", run.name), Trial(2, {}, 1, "search", "another-0123abcd")])
    for number in (1, 2):
        ledger.end(number, "done", values=[0.5])
    for said in ("as an experiment of DVC: `dvc exp show`", ", before"):
        assert treadle("compare", str(sweep.folder), "--to-dvc", "3") == 0
        assert capsys.readouterr().out.endswith(f"recorded {run.name}{' ' * (said[0] == 'a')}{said}\n")
    assert find_commit(git, run.name)


def test_without_dvc_or_git_a_run_is_adopted_all_the_same(project, run, git, capsys):
    shutil.rmtree(project / ".git")
    assert treadle("adopt", str(run), "--as", "winner") == 0
    assert "recorded" not in capsys.readouterr().out
