"""The Python interface: the runs of the command, as objects."""

import importlib.util
import subprocess
import sys

import polars as pl
import pytest

import treadle
from runs import QUICK, find_run, run_quick
from sweeping import OWN, add_own
from treadle.errors import TreadleError
from treadle.problems import ConfigError
from treadle.runs.read import read_run

OVERRIDES = [*QUICK, "tracker=disabled"]


@pytest.mark.slow
def test_a_run_is_that_of_the_command_with_its_results(project, run_once, capsys):
    subprocess.run(["cp", "-a", run_once("tracker=disabled"), project / "runs"], check=True)  # with times of change
    folder = find_run(project)
    capsys.readouterr()

    run = treadle.run(OVERRIDES)

    assert run.path == folder
    assert capsys.readouterr().out == "", "nothing is run again"
    assert run.metrics == read_run(folder).metrics
    assert list(run.baselines) == ["prior"]
    assert run.history["epoch"].to_list() == [1, 2]
    assert len(run.predictions) == len(run.bundle.predict(pl.read_parquet(folder / "examples" / "test.parquet")))
    assert [found.name for found in treadle.runs()] == [folder.name]
    assert treadle.runs(project)[0].experiment == run.experiment


@pytest.mark.slow
def test_a_stage_that_did_not_run_is_named(project):
    run = treadle.run(OVERRIDES, upto="train", root=project)

    assert len(run.history) == 2
    with pytest.raises(TreadleError, match=r"no evaluation/metrics.json; the stage evaluate writes it$"):
        _ = run.metrics


@pytest.mark.slow
def test_a_mistake_is_the_text_of_the_command(project, capsys):
    assert run_quick("model.widht=3") == 2
    shown = capsys.readouterr().err.removeprefix("treadle run: ").rstrip("\n")

    with pytest.raises(ConfigError) as caught:
        treadle.run([*QUICK, "model.widht=3"])

    assert str(caught.value) == shown


@pytest.mark.slow
def test_composing_gives_values_and_takes_one_text(project):
    composed = treadle.compose("experiment=california 'name=other'")

    assert composed.values["name"] == "other"
    assert composed.dump() == treadle.compose(["experiment=california", "name=other"], root=project).dump()


@pytest.mark.slow
def test_code_that_was_edited_after_its_import_is_refused(project, monkeypatch):
    from treadle import notebook

    monkeypatch.setattr(notebook, "_LOADED", {"treadle.data.prepare": "of before"})

    with pytest.raises(TreadleError, match=r"^treadle\.data\.prepare: edited since .* restart the notebook's kernel"):
        treadle.run(OVERRIDES)


@pytest.mark.slow
def test_so_is_code_that_was_edited_after_an_import_of_ones_own(project, monkeypatch):
    add_own(project)
    monkeypatch.syspath_prepend(project)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    spec = importlib.util.find_spec("failing_trials")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "failing_trials", module)
    (project / "failing_trials.py").write_text(OWN.replace("nn.Linear(num_numeric", "nn.Linear(9 + num_numeric"))

    with pytest.raises(TreadleError, match=r"^failing_trials: edited since"):
        treadle.run(["model=own" if word.startswith("model=") else word for word in OVERRIDES if "model." not in word])


def test_importing_treadle_imports_no_library():
    code = (
        "import sys; before = set(sys.modules); import treadle; treadle.runs\n"
        "heavy = {'torch', 'polars', 'pydantic', 'hydra', 'pytorch_lightning', 'wandb', 'dvc'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert callable(treadle.runs)\n"
        "import treadle.runs.labels\n"
        "assert callable(treadle.runs)\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
