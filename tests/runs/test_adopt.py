import json
from pathlib import Path

import pytest
import yaml

from runs import QUICK, find_run, run_quick, treadle
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.runs.adopt import adopt
from treadle.runs.marks import find_adopted

WORDS = ["model.num_layers=1", "seed=3", "tracker.tags=[winner]", "evaluation.baselines=[prior]"]


@pytest.fixture
def run(project):
    assert run_quick(*WORDS, verb="prepare") == 0
    (folder,) = project.glob("runs/california-*")
    return folder


@pytest.mark.slow
def test_a_run_becomes_an_experiment_that_gives_the_same(project, run, capsys):
    selection = project / "params.yaml"
    selection.write_text(selection.read_text().replace("model: null", "model: linear"))
    files = adopt(run, name="winner", root=project)
    assert [file.relative_to(project).as_posix() for file in files] == ["conf/experiment/winner.yaml", "params.yaml"]
    text = files[0].read_text()
    assert text.splitlines()[1] == "# Does a regression fit the same shapes?"
    assert resolve(overrides=["experiment=winner"], root=project).experiment.question == text.splitlines()[1][2:]
    assert find_adopted(project) == {run.name: "winner"}
    assert yaml.safe_load(text)["defaults"] == ["california", {"override /model": "mlp"}, "_self_"]
    chosen = yaml.safe_load(selection.read_text())
    assert {group for group, option in chosen.items() if option} == {"experiment"}
    assert "model: null" in selection.read_text()
    assert "# `dvc exp run" in selection.read_text()
    capsys.readouterr()
    assert treadle("prepare", "experiment=winner") == 0
    assert f"runs/winner-{run.name.rpartition('-')[2]}" in capsys.readouterr().out  # one id: one result
    assert treadle("check", "--selection", "params.yaml") == 0


@pytest.mark.slow
def test_what_would_not_be_the_run_is_not_adopted(project, run):
    file = project / "conf/model/mlp.yaml"
    file.write_text(file.read_text().replace("dropout: 0.0", "dropout: 0.5"))
    with pytest.raises(TreadleError, match="conf/ has changed since the run: model would differ"):
        adopt(run, name="winner", root=project)
    assert not (project / "conf/experiment/winner.yaml").exists()


@pytest.mark.slow
def test_a_run_of_other_code_is_not_adopted(project, run):
    file = run / "resolved.yaml"
    resolved = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**resolved, "code": {**resolved["code"], "train": "0123"}}, sort_keys=False))
    with pytest.raises(TreadleError, match="its code is not today's: that of train has changed"):
        adopt(run, name="winner", root=project)
    assert not (project / "conf/experiment/winner.yaml").exists()


@pytest.mark.slow
def test_a_run_of_other_data_is_not_adopted(project, run):
    (run / "stages.json").write_text(json.dumps({"prepare": "0123"}))
    with pytest.raises(TreadleError, match="its data is not today's"):
        adopt(run, name="winner", root=project)


def test_the_sweep_of_a_run_is_no_part_of_the_experiment(project, run):
    recorded = json.loads((run / "overrides.json").read_text())
    (run / "overrides.json").write_text(json.dumps([*recorded, "sweep=random", "sweep.retries=2"]))
    text = adopt(run, name="winner", root=project)[0].read_text()
    assert "sweep" not in text


def test_a_selection_of_comments_alone_selects_it(project, run):
    (project / "params.yaml").write_text("# mine\n# yours")
    adopt(run, name="winner", root=project)
    assert (project / "params.yaml").read_text() == "# mine\n# yours\nexperiment: winner\n"


def test_where_the_selection_cannot_be_written_nothing_is(project, run, monkeypatch):
    rename = Path.replace

    def replace(self, target):
        if target.name == "params.yaml":
            raise OSError(28, "No space left on device", str(target))
        return rename(self, target)

    before = (project / "params.yaml").read_text()
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="No space"):
        adopt(run, name="winner", root=project)
    assert not (project / "conf/experiment/winner.yaml").exists()
    assert (project / "params.yaml").read_text() == before


@pytest.mark.parametrize("name", ["", "a/b", "../b", "-b", "a b"])
def test_what_is_no_name_is_refused(project, tmp_path, name):
    with pytest.raises(TreadleError, match="is no name of an experiment"):
        adopt(tmp_path, name=name, root=project)


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
