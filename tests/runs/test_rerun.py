"""`treadle run --like RUN`: again what a run was, with single values changed."""

import json
import subprocess

import pytest
import yaml

from runs import find_run, run_quick, treadle
from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.problems import ConfigError
from treadle.runs.rerun import read_again


@pytest.fixture
def run(project):
    assert run_quick("tracker=disabled", "seed=4", verb="prepare") == 0
    return find_run(project)


def test_it_is_what_the_run_was_whatever_became_of_conf(run, project):
    before = read(run / "resolved.yaml")
    for name in ("data/california", "model/mlp", "experiment/california"):
        (project / f"conf/{name}.yaml").unlink()
    again = read_again(run, [], root=project)
    assert again.resolved == before
    assert again.overrides == json.loads((run / "overrides.json").read_text())


def test_values_come_on_top(run, project):
    before = read(run / "resolved.yaml").values
    again = read_again(run, ["seed=5", "model.width=8", "+tracker.tags=[again]"], root=project)
    changed = again.resolved.values
    assert (changed["seed"], changed["model"]["width"], changed["tracker"]["tags"]) == (5, 8, ["again"])
    same = {key: value for key, value in changed.items() if key not in {"seed", "model", "tracker"}}
    assert same == {key: before[key] for key in same}
    assert again.overrides is not None
    assert again.overrides[-3:] == ["seed=5", "model.width=8", "+tracker.tags=[again]"]
    assert not {"seed=4", "model.width=16"}.intersection(again.overrides)


@pytest.mark.slow
def test_an_option_replaces_its_section(run, project):
    again = read_again(run, ["model=linear", "loss=huber"], root=project)
    model = again.resolved.values["model"]
    assert model["_target_"] == "treadle.models.linear.Linear"
    assert "width" not in model
    assert again.resolved.values["loss"]["function"]["_target_"].endswith("HuberLoss")
    assert again.overrides is not None
    assert not [word for word in again.overrides if word.startswith("model.") or word == "model=mlp"]
    from treadle.check.resolve import resolve

    assert resolve(overrides=again.overrides, root=project) == again.resolved


@pytest.mark.slow
def test_a_rule_chooses_for_the_run_as_it_is(run, project):
    choice = read_again(run, ["model=auto"], root=project).resolved.experiment.model_choice
    assert choice is not None
    assert read_again(run, [], root=project).resolved.experiment.model_choice is None


@pytest.mark.sampled_cases(3)
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.widht=3", "unknown key 'model.widht'"),
        ("model.num_layers=x", "num_layers"),
        ("schedule.optimizer.lr=-1", "lr must be above 0"),
        ("model=mpl", "'mpl' is not an option of the group 'model'"),
        ("experiment=adult", "does not replace one section of the run"),
        ("~tracker", "--like sets values, and removes none"),
        ("+seed.x=1", "unknown key 'seed.x'"),
        ("seed=1,2", "asks for several runs"),
        ("hydra.run.dir=x", "nothing reads 'hydra.run.dir'"),
    ],
)
def test_a_wrong_override_is_reported_with_its_place(run, project, word, said):
    with pytest.raises(ConfigError) as caught:
        read_again(run, ["trainer.threads=1", word], root=project)
    assert said in str(caught.value)
    assert f"override 2: {word!r}" in str(caught.value)


def test_what_is_wrong_in_the_run_itself_is_named_there(run, project):
    file = run / "resolved.yaml"
    file.write_text(file.read_text().replace("path: data/california/california.parquet", "path: data/none.parquet"))
    with pytest.raises(ConfigError, match=rf"runs/{run.name}/resolved.yaml:\d+"):
        read_again(run, [], root=project)


def test_a_run_of_another_version_is_named_with_the_command_that_composes_it_anew(run, project):
    file = run / "resolved.yaml"
    values = yaml.safe_load(file.read_text())
    values["schedule"]["warmup"] = 3
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    with pytest.raises(TreadleError) as caught:
        read_again(run, [], root=project)
    assert f"{run.name}/resolved.yaml is of another version of Treadle: schedule.warmup" in str(caught.value)
    assert "compose it anew: treadle run experiment=california model=mlp" in str(caught.value)
    with pytest.raises(TreadleError, match=r"conf is no run: it has no resolved.yaml"):
        read_again(project / "conf", [], root=project)


@pytest.mark.slow
def test_a_finished_run_is_unchanged_and_a_changed_value_runs_what_depends_on_it(project, run_once, capsys):
    subprocess.run(["cp", "-a", f"{run_once('tracker=disabled')}/.", project / "runs"], check=True)
    name = f"runs/{find_run(project).name}"
    capsys.readouterr()
    assert treadle("run", "--like", name) == 0
    assert capsys.readouterr().out == f"unchanged  {name}\n"
    assert treadle("run", "--like", name, "evaluation.threshold=0.4", "--why") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[2].startswith("train      would be shared")
    assert out[4] == f"evaluate   would run: evaluation.threshold, since {name}"
    assert treadle("run", "--like", name, "evaluation.parity_rows=6") == 0
    out = capsys.readouterr().out
    assert f"evaluate   would run: evaluation.parity_rows, since {name}" in out
    assert "train      shared with another run" in out
    assert len(list(project.glob("runs/california-*"))) == 2


def test_edited_code_is_why_a_stage_runs_again(project, run_once, capsys):
    subprocess.run(["cp", "-a", f"{run_once('tracker=disabled')}/.", project / "runs"], check=True)
    run = find_run(project)
    file = run / "resolved.yaml"
    values = read(file)
    file.write_text(file.read_text().replace(values.code["evaluate"], "0" * len(values.code["evaluate"])))
    signatures = json.loads((run / "stages.json").read_text())
    (run / "stages.json").write_text(json.dumps({**signatures, "evaluate": "of other code"}))
    for entry in project.glob("runs/.stages/evaluate/*"):
        entry.rename(entry.with_name(f"{entry.name}.tmp"))
    capsys.readouterr()
    assert treadle("run", "--like", str(run), "--why") == 0
    assert f"evaluate   would run: its code, since runs/{run.name}" in capsys.readouterr().out


def test_like_and_m_exclude_each_other(run, capsys):
    assert treadle("run", "-m", "--like", str(run), "seed=1,2") == 2
    assert "--like runs one experiment, and -m many" in capsys.readouterr().err
