import json

import pytest
import yaml

from runs import QUICK, find_run, run_quick, treadle
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.runs.adopt import adopt

WORDS = ["model.num_layers=1", "seed=3", "tracker.tags=[winner]", "evaluation.baselines=[prior]"]


@pytest.fixture
def run(project):
    assert run_quick(*WORDS, verb="prepare") == 0
    (folder,) = project.glob("runs/california-*")
    return folder


def test_a_run_becomes_an_experiment_that_gives_the_same(project, run, capsys):
    selection = project / "params.yaml"
    selection.write_text(selection.read_text().replace("model: null", "model: linear"))
    files = adopt(run, name="winner", root=project)
    assert [file.relative_to(project).as_posix() for file in files] == ["conf/experiment/winner.yaml", "params.yaml"]
    text = files[0].read_text()
    assert text.splitlines()[1] == f"# Adopted from runs/{run.name}."
    assert yaml.safe_load(text)["defaults"] == ["california", {"override /model": "mlp"}, "_self_"]
    chosen = yaml.safe_load(selection.read_text())
    assert {group for group, option in chosen.items() if option} == {"experiment"}
    assert "model: null" in selection.read_text()
    assert "# `dvc exp run" in selection.read_text()
    capsys.readouterr()
    assert treadle("prepare", "experiment=winner") == 0
    assert f"runs/winner-{run.name.rpartition('-')[2]}" in capsys.readouterr().out  # one id: one result
    assert treadle("check", "--selection", "params.yaml") == 0


def test_what_would_not_be_the_run_is_not_adopted(project, run):
    file = project / "conf/model/mlp.yaml"
    file.write_text(file.read_text().replace("dropout: 0.0", "dropout: 0.5"))
    with pytest.raises(TreadleError, match="conf/ has changed since the run: model would differ"):
        adopt(run, name="winner", root=project)
    assert not (project / "conf/experiment/winner.yaml").exists()


def test_a_taken_name_and_a_run_without_a_command_are_refused(project, run):
    with pytest.raises(TreadleError, match=r"conf/experiment/california.yaml exists"):
        adopt(run, name="california", root=project)
    (run / "overrides.json").unlink()
    with pytest.raises(TreadleError, match=r"has no overrides.json"):
        adopt(run, name="winner", root=project)


def test_each_override_of_a_run_is_recorded(project, run):
    recorded = json.loads((run / "overrides.json").read_text())
    keys = {word.partition("=")[0] for word in WORDS}
    assert recorded == [*(word for word in QUICK if word.partition("=")[0] not in keys), *WORDS]
    assert resolve(overrides=recorded, root=project).experiment.seed == 3
    assert find_run(project) == run
