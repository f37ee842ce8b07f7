"""A run from its training to an alarm."""

import json
import shutil
from dataclasses import replace

import polars as pl
import pytest
import torch

from runs import find_run, treadle
from treadle.bundle import Recipe, load
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.reference import make_reference
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.profiles.reference import read_reference
from wandb_record import find_ended, read_history


@pytest.mark.slow
def test_a_run_is_monitored_by_what_its_evaluation_wrote(run_once, tmp_path, capsys):
    run = find_run(run_once("tracker=disabled").parent)
    rows = pl.read_parquet(run / "examples" / "test.parquet").sample(fraction=1, shuffle=True, seed=0)  # not by place
    predicted = load(run).predict(rows).drop("row")
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    pl.concat([rows, predicted], how="horizontal").write_parquet(good)
    spoiled = rows.with_columns(MedInc=pl.col("MedInc") * 10, AveBedrms=pl.col("AveBedrms") + 3)
    pl.concat([spoiled, load(run).predict(spoiled, on_breach="allow").drop("row")], how="horizontal").write_parquet(bad)
    capsys.readouterr()

    codes, found = [], []
    for log in (good, bad):
        codes.append(treadle("monitor", str(run), "--log", str(log), "--format", "json"))
        found.append(json.loads(capsys.readouterr().out))

    judged = [block for block in found[0]["blocks"] if block["unjudged"] is None]
    assert codes[1] == 1
    assert sum(bool(block["alarms"]) for block in judged) <= 2
    errors = [block["estimated"]["mae"] for block in judged]
    assert sum(errors) / len(errors) == pytest.approx(found[0]["reference"]["metrics"]["mae"], rel=0.05)
    realised = [block["realised"]["metrics"]["mae"] for block in judged]
    assert sum(realised) / len(realised) == pytest.approx(sum(errors) / len(errors), rel=0.05)
    performance, *first = found[1]["blocks"][0]["alarms"]
    assert performance["kind"] == "performance"
    assert "MedInc" in first[0]["columns"]
    effects = [alarm["effect"] for alarm in first if len(alarm["columns"]) == 1]  # a pair comes after its column
    assert effects == sorted(effects, reverse=True)
    assert first[0]["importance"] > 0.1
    median = sorted(alarm["effect"] for alarm in first)[len(first) // 2]
    options = ["--min-effect", str(median), "--output", str(tmp_path / "out")]
    treadle("monitor", str(run), "--log", str(bad), "--format", "json", *options)
    block = json.loads(capsys.readouterr().out)["blocks"][0]
    assert block["alarms"][0]["kind"] == "performance"
    assert all(
        alarm["effect"] >= median > slight["effect"] for alarm in block["alarms"][1:] for slight in block["slight"]
    )
    assert len(block["slight"]) + len(block["alarms"]) == len(found[1]["blocks"][0]["alarms"])
    assert block["slight"]
    assert "move the mean prediction by less than" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_a_private_column_is_in_no_reference_and_no_alarm_is_weighed_without_it(run_once, tmp_path, capsys):
    run = find_run(run_once("tracker=disabled").parent)
    bundle = load(run)
    values = bundle.recipe.model_dump()
    values["data"]["tables"][values["data"]["examples"]["table"]]["columns"]["MedInc"]["private"] = True
    guarded = replace(bundle, recipe=Recipe.model_validate(values))
    experiment = read(run / "resolved.yaml").experiment
    rows = pl.read_parquet(run / "examples" / "test.parquet")
    prediction = torch.from_numpy(guarded.predict(rows)["prediction"].to_numpy(writable=True))
    target = torch.from_numpy(rows["label"].to_numpy(writable=True))
    evaluated = Evaluated(experiment, RunFolder(run), guarded, {MODEL: prediction}, target, {MODEL: {"mae": 0.5}}, {})

    make_reference(evaluated, experiment.evaluation.reference).write(tmp_path)

    found = read_reference(tmp_path)
    assert found.ignored == {"MedInc": "private"}
    assert "MedInc" not in {column.name for column in found.columns}
    assert "MedInc" not in pl.read_parquet(tmp_path / "cells.parquet")["column"].unique().to_list()

    log = tmp_path / "log.parquet"
    rows.drop("MedInc", "label").with_columns(pl.col("AveBedrms") + 3).write_parquet(log)
    capsys.readouterr()
    assert treadle("monitor", str(run), "--reference", str(tmp_path), "--log", str(log), "--format", "json") == 1
    told = json.loads(capsys.readouterr().out)
    assert "no alarm is weighed by its effect: the model reads MedInc, which the log lacks" in told["notes"]
    assert {alarm["effect"] for block in told["blocks"] for alarm in block["alarms"]} == {None}


def read_id(folder):
    (file,) = folder.glob("*.wandb")
    return file.stem


@pytest.mark.slow
def test_what_was_found_goes_on_in_one_record_of_the_bundle(run_once, tmp_path, capsys):
    run = find_run(run_once("tracker=disabled").parent)
    copy, output = tmp_path / "california-1", tmp_path / "monitoring"
    shutil.copytree(run, copy)
    resolved = (copy / "resolved.yaml").read_text()
    (copy / "resolved.yaml").write_text(resolved.replace("mode: disabled", "mode: offline"))
    rows = pl.read_parquet(run / "examples" / "test.parquet")
    predicted = pl.concat([rows, load(run).predict(rows).drop("row")], how="horizontal")
    predicted.write_parquet(tmp_path / "log.parquet")
    command = ["monitor", str(copy), "--log", str(tmp_path / "log.parquet"), "--output", str(output)]

    for _ in range(2):
        assert treadle(*command, "--track", "--no-effect") in {0, 1}

    first, second = find_ended(output)
    assert read_id(first) == read_id(second)
    history = read_history(first)
    strengths = [row["monitoring/strength/value"] for row in history if "monitoring/strength/value" in row]
    blocks = json.loads((output / "findings.json").read_text())["blocks"]
    assert strengths == [block["strength"] for block in blocks if not block["unjudged"]]
    assert any("monitoring/realised rmse/value" in row for row in history)
    assert history[-1]["monitoring/page._type"] == "html-file"
    assert read_history(second) == []  # nothing new was found
