"""The whole way: models are trained once, a break of the rule is seen, and the same command changes nothing."""

import json
import shlex

import pytest

from drifting import make_visits_project
from runs import treadle
from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.problems import ConfigError
from treadle.replay.matrix import require_fitting

NETWORK = ["experiment=visits", "model=linear", "schedule.max_epochs=2"]
NETWORK += [f"~model.{key}" for key in ("max_rounds", "early_stopping_rounds", "min_data_in_leaf")]
SMALL = ["experiment=visits", "replay.step=2mo", "replay.first=2020-03-01", "~replay.policies.last_2"]


@pytest.mark.slow
def test_a_break_is_answered_by_training_again(tmp_path, monkeypatch, capsys):
    make_visits_project(tmp_path, breaks_at=121)  # with May: the rule of the second block and of the third
    monkeypatch.chdir(tmp_path)

    assert treadle("replay", *SMALL, "--format", "json") == 0

    answer = json.loads(capsys.readouterr().out)
    assert [start[:7] for start in answer["starts"]] == ["2020-03", "2020-05", "2020-07", "2020-09"]
    never, always = (answer["policies"][name] for name in ("never", "every_1"))
    assert never["value"] > always["value"]
    assert always["gain"]["low"] > 0
    assert list(tmp_path.glob("replays/*/report.html"))
    bundles = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/bundle/bundle.json")}
    assert len(bundles) == 3
    assert treadle("replay", *SMALL, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == answer
    assert bundles == {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/bundle/bundle.json")}


@pytest.mark.slow
def test_a_network_goes_on_from_the_month_before(tmp_path, monkeypatch, capsys):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = ["replay=warm", "replay.step=3mo", "replay.first=2020-03-01"]
    left_out = [f"~replay.policies.{name}" for name in ("last_2", "warm", "continued")]
    command = ["replay", *NETWORK, *blocks, *left_out, "--format", "json"]

    assert treadle(*command) == 0

    read = capsys.readouterr()
    answer = json.loads(read.out)
    assert [answer["policies"]["warm_1"][key] for key in ("warm", "trainings")] == ["keep", 2]
    warm, continued = (answer["policies"][name] for name in ("warm_1", "continued_1"))
    assert (continued["optimizer"], continued["trainings"]) == ("continue", 2)
    assert continued["value"] != warm["value"]
    assert "on rows from 2020-03-01 on, from the weights of the block before, transforms kept: done" in read.err
    assert "transforms kept, optimizer continued: done" in read.err
    assert len(list(tmp_path.glob("runs/*/bundle/bundle.json"))) == 4
    assert treadle(*command) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == answer
    assert again.err.count(": reused") == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            [*NETWORK, "replay.policies.warm.every=2"],
            "warm.every\n    a model takes over from that of the block before",
        ),
        (
            [*NETWORK, "+replay.policies.every_1.optimizer=continue"],
            "every_1.optimizer\n    an optimizer continues with the weights of the block before",
        ),
        (["experiment=visits"], "warm.warm\n    the model has no weights that another one could begin with"),
    ],
    ids=["every second", "an optimizer alone", "trees"],
)
def test_a_policy_that_cannot_be_warm_is_refused(tmp_path, monkeypatch, capsys, given, told):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert treadle("replay", *given, "replay=warm") == 2

    assert f"replay.policies.{told}" in capsys.readouterr().err


def test_models_of_the_past_cannot_begin_with_a_bundle_of_the_present(tmp_path, monkeypatch):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    experiment = check(compose(overrides=NETWORK, root=tmp_path))
    later = experiment.schedule.model_copy(update={"start_from": "runs/later"})

    with pytest.raises(ConfigError, match="set it to null") as told:
        require_fitting(experiment.model_copy(update={"schedule": later}))

    assert [problem.key for problem in told.value.problems] == ["schedule.start_from"]


def test_a_split_that_is_not_by_time_is_refused_before_anything_is_made(project, capsys):
    assert treadle("replay", "experiment=california") == 2

    err = capsys.readouterr().err
    assert "a replay moves a split by time; found by: random" in err
    assert "say when each prediction is made, data.examples.predict_at, and write a split with by: time" in err
    assert not (project / "runs").exists()


def test_folds_in_time_are_refused_with_the_overrides_that_give_the_dates(tmp_path, monkeypatch):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    folds = ["~data.split", "+data.split={by: time_series, folds: 5, fold: 4, test_from: '2020-04-01', gap: 1d}"]
    given = ["experiment=visits", "replay=monthly", *folds]

    with pytest.raises(ConfigError) as told:
        require_fitting(check(compose(overrides=given, root=tmp_path)))

    (problem,) = told.value.problems
    fix, _, _ = problem.fix.partition(", of which")
    experiment, _ = require_fitting(check(compose(overrides=[*given, *shlex.split(fix)], root=tmp_path)))
    assert (experiment.data.split.test_from, experiment.data.split.gap) == ("2020-04-01", "1d")


def test_a_replay_makes_no_sweep_of_its_own(tmp_path, monkeypatch, capsys):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert treadle("replay", "experiment=visits", "model.learning_rate=0.1,0.2") == 2

    assert "this command makes one" in capsys.readouterr().err
