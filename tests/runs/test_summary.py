"""What stands at the end of a run: the metrics beside the baselines, and commands that make sense now."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.experiment.run_folder import RunFolder
from treadle.metrics.registry import write_score
from treadle.runs.summary import list_next_steps, print_summary


@pytest.fixture
def choose(root):
    return lambda *overrides: check(compose(overrides=["experiment=california", *overrides], root=root))


@pytest.mark.parametrize(
    ("overrides", "command"),
    [
        ([], "treadle run model=linear"),
        (["experiment=california", "model=mlp"], "treadle run experiment=california model=linear"),
        (
            ["model=blend", "~model.members.mlp", "+schedule@model.members.tabm.schedule=cosine"],
            "treadle run model=linear",
        ),
        (["model=mlp", "model.width=16", "name='a b'"], """treadle run 'name='"'"'a b'"'"'' model=linear"""),
    ],
)
def test_another_model_is_offered_with_the_overrides_that_were_typed(choose, overrides, command):
    steps = list_next_steps(choose("model=mlp"), Path("runs/california-1"), overrides=overrides)

    assert steps[0] == (command, "another model, on the same prepared rows")


def test_no_model_is_offered_that_does_not_read_the_images(root):
    experiment = check(compose(overrides=["experiment=digits"], root=root))

    steps = list_next_steps(experiment, Path("runs/digits-1"), overrides=["experiment=digits"])

    assert steps[0] == ("treadle run experiment=digits seed=1", "another seed")


def test_what_was_just_typed_is_not_offered(choose):
    typed = ["experiment=california", "model=linear"]

    commands = [command for command, _ in list_next_steps(choose("model=linear"), Path("runs/x"), overrides=typed)]

    assert commands[0] == "treadle run experiment=california model=mlp"


def test_runs_are_compared_where_there_are_several(choose, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "runs" / name / "evaluation").mkdir(parents=True)
        (tmp_path / "runs" / name / "evaluation" / "metrics.json").touch()

    commands = [command for command, _ in list_next_steps(choose(), tmp_path / "runs" / "a", overrides=[])]

    assert "treadle compare" in commands


def test_after_the_pipeline_dvcs_experiments_are_offered(choose):
    steps = dict(list_next_steps(choose("model=mlp"), Path("artifacts"), overrides=[]))

    assert "dvc exp run -S model=linear" in steps
    assert "treadle predict artifacts rows.parquet -o out.parquet" in steps


def test_the_best_of_each_metric_is_marked_what_is_undefined_is_a_dash_and_failed_blockers_are_told(choose, tmp_path):
    (tmp_path / "evaluation").mkdir()
    results = {"model": {"rmse": 0.5, "mae": 2.0, "r2": None}, "prior": {"rmse": 1.0, "mae": 1.0, "r2": None}}
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(results))
    judged = {"title": "", "outcome": "fail", "sentence": "RMSE is 0.5.", "evidence": {}}
    checks = {code: {**judged, "severity": code} for code in ("blocker", "warning")}
    (tmp_path / "evaluation" / "checks.json").write_text(json.dumps(checks))
    text = io.StringIO()

    print_summary(
        choose(),
        RunFolder(tmp_path),
        records=RunFolder(tmp_path),
        overrides=[],
        console=Console(file=text, width=120, force_terminal=True),
    )

    rmse, mae, r2 = (
        next(line for line in text.getvalue().splitlines() if name in line) for name in ("RMSE", "MAE", "R sq")
    )
    assert ["32m" in cell for cell in rmse.split("│")[2:4]] == [True, False]
    assert ["32m" in cell for cell in mae.split("│")[2:4]] == [False, True]
    assert r2.count("-") >= 2
    assert text.getvalue().count("RMSE is 0.5.") == text.getvalue().count("blocked  blocker: RMSE is 0.5.\n") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.2500"),
        (-0.5, "-0.5000"),
        (0.0, "0.0000"),
        (1.23456e-7, "1.235e-07"),
        (9999.0, "9999.0000"),
        (48012.345, "48012.3"),
        (float("nan"), "-"),
        (None, "-"),
    ],
)
def test_a_score_of_any_size_keeps_digits_that_distinguish_it_from_others(value, text):
    assert write_score(value) == text
