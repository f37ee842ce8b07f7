"""The pipeline by command: identity, sharing, resuming, and what a run folder holds. T… names the trap in its way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml

import treadle as package
from runs import QUICK, WIDE, find_run, run_quick, treadle
from treadle.bundle import load
from treadle.experiment.stages import WITHOUT_EFFECT
from wandb_record import find_ended, read_config, read_history, read_summary

pytestmark = [pytest.mark.usefixtures("project"), pytest.mark.fast_cases(3)]
NO_WANDB = "tracker=disabled"


def read_metrics(folder):
    return json.loads((folder / "evaluation" / "metrics.json").read_text())


def start(*arguments):
    """A process of its own, which shares no W&B service with this one."""
    return subprocess.Popen(
        [sys.executable, "-m", "treadle", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"},
    )


# --- the whole pipeline -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_leaves_everything_in_its_folder_and_is_unchanged_the_second_time(project, capsys):
    assert run_quick(NO_WANDB) == 0
    folder = find_run(project)
    first = capsys.readouterr().out

    assert run_quick(NO_WANDB) == 0

    assert {p.name for p in folder.iterdir()} >= {
        "resolved.yaml",
        "examples",
        "features",
        "model",
        "bundle",
        "baselines",
        "evaluation",
        "metrics.csv",
        "validation.json",
        "run.log",
        "environment.json",
        "changes.diff",
    }
    assert "RMSE" in first
    assert "prior" in first
    assert capsys.readouterr().out == f"unchanged  runs/{folder.name}\n"


SHIPPED = yaml.safe_load((Path(__file__).parents[2] / "conf" / "model" / "auto.yaml").read_text())["candidates"]
CANDIDATES = [f"~model.candidates.{name}" for name in SHIPPED if name != "mlp"]
# Values of the keys that cannot change a result, other than those of the quick run.
OTHER_VALUES = {
    "name": ["name=other"],
    "targets": ["targets=[treadle.,torch.,pytorch_lightning.]"],
    "model_choice": ["model=auto", "model.candidates.mlp.model.width=16", *CANDIDATES],
    "tracker": ["tracker.mode=offline", "tracker.tags=[other]"],
    "serving": ["serving.limits.rows=10"],
    "replay": ["replay.step=1w"],
    "retrain": ["retrain.wait=1d"],
    "sweep": ["sweep=tpe", "sweep.workers=3"],
    "logger": ["+logger.csv._target_=pytorch_lightning.loggers.CSVLogger"],
    "question": [],  # which stands in the experiment's file
}


@pytest.mark.slow
def test_what_is_no_part_of_the_identity_changes_no_number(project, run_once):
    """It trains by itself: nothing is shared with the run that it is compared with."""
    assert OTHER_VALUES.keys() == {key for key in WITHOUT_EFFECT if not key.startswith("fit.")}  # of tables
    (before,) = (path.parent for path in run_once(NO_WANDB).glob("*/stages.json"))
    file = project / "conf" / "experiment" / "california.yaml"
    file.write_text(re.sub(r"^# \w+", "# Other", file.read_text(), count=1, flags=re.MULTILINE))
    quick = [override for override in QUICK if not override.startswith("model")]

    assert treadle("run", *quick, *(word for given in OTHER_VALUES.values() for word in given)) == 0

    after = find_run(project)
    assert after.name.rpartition("-")[2] == before.name.rpartition("-")[2]
    assert (after / "metrics.csv").read_text() == (before / "metrics.csv").read_text()
    assert read_metrics(after) == read_metrics(before)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_processes_have_an_identity_of_their_own(project):
    """They share the rows of a step, and round in another way."""
    run_quick(NO_WANDB, "name=one")
    run_quick(NO_WANDB, "name=two", "trainer=ddp")

    (one,), (two,) = (project.glob(f"runs/{name}-*") for name in ("one", "two"))
    assert one.name.rpartition("-")[2] != two.name.rpartition("-")[2]
    assert (one / "metrics.csv").read_text() != (two / "metrics.csv").read_text()


def test_upstream_stages_are_shared_by_signature(capsys):
    run_quick(NO_WANDB)
    capsys.readouterr()

    run_quick(NO_WANDB, "model.width=8")

    said = capsys.readouterr().out
    assert "prepare    shared with another run" in said
    assert "featurize  shared with another run" in said
    assert "train      done" in said
    assert "baseline   shared with another run" in said


def test_a_stage_alone_stops_there(project):
    run_quick(NO_WANDB, verb="featurize")

    folder = find_run(project)
    assert (folder / "features" / "train" / "00000.parquet").is_file()
    assert not (folder / "model").exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_seed_0_is_a_seed(project):
    """T23."""
    results = {}
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        root = project / name
        root.mkdir()
        (root / "conf").symlink_to(project / "conf")
        (root / "data").symlink_to(project / "data")
        os.chdir(root)
        run_quick(NO_WANDB, f"seed={seed}")
        results[name] = read_metrics(find_run(root))["model"]

    assert results["one"] == results["two"]
    assert results["one"] != results["three"]


def test_a_failing_stage_leaves_no_half_written_folder_and_prints_the_reason(project, capsys):
    assert run_quick(NO_WANDB, "schedule.optimizer.lr=1e30", "schedule.gradient_clip=null") == 2

    assert "schedule: the validation loss is" in capsys.readouterr().err
    folder = find_run(project)
    assert not (folder / "bundle").exists()
    assert "train failed" in (folder / "run.log").read_text()


# --- T5, T10, T21: several processes, killed processes ---------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.slow
def test_two_processes_with_the_same_selection_share_one_folder_and_one_result(project):
    """T5: the second waits, and finds the work done."""
    both = [start("run", *QUICK, NO_WANDB) for _ in range(2)]
    said = sorted((process.communicate(timeout=120)[0] for process in both), key=len)

    assert [process.returncode for process in both] == [0, 0]
    assert "in use by another process; waiting for it" in said[0]
    assert "unchanged" in said[0]
    find_run(project)


def test_two_selections_never_share_a_folder(project):
    """T5."""
    run_quick(NO_WANDB, verb="prepare")
    run_quick(NO_WANDB, "seed=1", verb="prepare")

    assert len(list(project.glob("runs/*/stages.json"))) == 2


@pytest.mark.slow
def test_a_killed_training_goes_on_where_it_was_with_the_same_numbers(project, capsys):
    """T10 and T21: same folder, same W&B id, same steps; what was logged before the kill is kept."""
    overrides = [*QUICK, "schedule.max_epochs=12"]
    process = start("run", *overrides)
    while not (rows := [p for p in project.glob("runs/*/metrics.csv") if len(p.read_text().splitlines()) > 4]):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    folder = rows[0].parent
    before = (folder / "metrics.csv").read_text()
    wandb_id = json.loads((folder / "wandb" / "run-id.json").read_text())["id"]
    assert len(before.splitlines()) < 13, "killed too late to show anything"

    assert treadle("run", *overrides) == 0

    after = (folder / "metrics.csv").read_text().splitlines()
    assert find_run(project) == folder
    assert after[: len(before.splitlines()) - 1] == before.splitlines()[:-1]
    assert [int(line.split(",")[1]) for line in after[1:]] == [13 * epoch for epoch in range(1, 13)]
    assert json.loads((folder / "wandb" / "run-id.json").read_text())["id"] == wandb_id
    assert len(list(folder.glob(f"wandb/offline-run-*-{wandb_id}"))) == 2
    resumed_at = int(capsys.readouterr().out.split("resumed    in epoch ")[1].split(",")[0])
    assert resumed_at >= len(before.splitlines()) - 1, "whole epochs were trained again"

    whole = project / "whole"
    whole.mkdir()
    (whole / "conf").symlink_to(project / "conf")
    (whole / "data").symlink_to(project / "data")
    os.chdir(whole)
    treadle("run", *overrides, NO_WANDB)
    assert read_metrics(find_run(whole)) == read_metrics(folder)
    assert (find_run(whole) / "metrics.csv").read_text().splitlines() == after


@pytest.mark.exhaustive  # a kill, which the test above holds, is harder
@pytest.mark.slow
def test_ctrl_c_explains_how_to_go_on_and_the_same_command_does(project, capsys):
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from treadle.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "run", *QUICK, NO_WANDB, "schedule.max_epochs=40"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch   5"):
            process.send_signal(signal.SIGINT)
            break
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "interrupted; the same command resumes from the last epoch" in said
    assert "Traceback" not in said
    (folder,) = [path.parent for path in project.glob("runs/*/checkpoints")]
    treadle("train", *QUICK, NO_WANDB, "schedule.max_epochs=40")
    assert int(capsys.readouterr().out.split("resumed    in epoch ")[1].split(",")[0]) >= 5
    assert len((folder / "metrics.csv").read_text().splitlines()) == 41


# --- what a run can be used for --------------------------------------------------------------------------


@pytest.fixture
def finished(project, run_once):
    shutil.copytree(run_once(NO_WANDB), project / "runs")
    return find_run(project)


def test_a_run_loads_in_one_line_and_predicts_rows(finished):
    """T12: no training configuration is needed, and conf/ may be gone."""
    rows = pl.read_parquet(finished / "examples" / "test.parquet")

    predicted = package.load(finished).predict(rows)

    assert predicted.equals(pl.read_parquet(finished / "evaluation" / "predictions.parquet"))


def test_predict_writes_what_evaluation_saw(finished, project):
    out = project / "out.parquet"

    assert treadle("predict", str(finished), str(finished / "examples" / "test.parquet"), "-o", str(out)) == 0

    assert pl.read_parquet(out).equals(pl.read_parquet(finished / "evaluation" / "predictions.parquet"))


def test_rows_one_by_one_get_what_the_batch_gets(finished):
    rows = pl.read_parquet(finished / "examples" / "test.parquet")
    bundle = load(finished)
    batch = bundle.predict(rows)["prediction"]

    for index in range(0, len(rows), 97):
        assert bundle.predict(rows[index].to_dicts()[0])["prediction"][0] == pytest.approx(
            batch[index], rel=1e-6, abs=1e-6
        )


def test_checkpoints_hold_plain_values(finished):
    """T13."""
    saved = torch.load(finished / "model" / "best.ckpt", weights_only=True)

    assert saved["state_dict"]
    torch.load(finished / "bundle" / "network.pt", weights_only=True)


def test_commit_changes_and_environment_are_recorded(finished):
    """T20; outside of git the commit is null."""
    environment = json.loads((finished / "environment.json").read_text())

    assert environment["git"] == {"commit": None, "changed": None}
    assert datetime.fromisoformat(environment["time"]) <= datetime.now(tz=UTC)
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["machine"]["num_cores"] == os.cpu_count()


@pytest.mark.slow
def test_commit_and_local_changes_are_recorded_in_a_repository(project):
    """T20."""
    for command in (
        ["init", "-q"],
        ["add", "params.yaml"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], check=True, cwd=project)
    (project / "params.yaml").write_text("experiment: california\n")
    run_quick()
    folder = find_run(project)
    environment = json.loads((folder / "environment.json").read_text())

    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert environment["git"] == {"commit": head, "changed": True}
    assert "+experiment: california" in (folder / "changes.diff").read_text()
    recorded = read_config(find_ended(folder)[0])["treadle"]
    assert recorded["git"]["commit"] == head
    assert "+experiment: california" in recorded["changes"]


@pytest.mark.slow
def test_evaluation_reads_the_runs_own_configuration(finished, project):
    """T22: an edit of conf/ after the training does not reach the evaluation of an existing run."""
    before = read_metrics(finished)
    (project / "conf" / "model" / "mlp.yaml").write_text("_target_: treadle.models.linear.Linear\n")
    (project / "conf" / "data" / "california.yaml").unlink()

    assert treadle("evaluate", "--folder", str(finished)) == 0

    assert read_metrics(finished) == before


def test_a_stage_in_a_folder_takes_no_overrides(finished, capsys):
    assert treadle("evaluate", "--folder", str(finished), "seed=1") == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_run_takes_no_other_configuration(finished, project, capsys):
    before = read_metrics(finished)
    other = project / "other.yaml"
    text = (finished / "resolved.yaml").read_text()
    assert "threshold: 0.5" in text
    other.write_text(text.replace("threshold: 0.5", "threshold: 0.4"))

    assert treadle("evaluate", "--folder", str(finished), "--resolved", str(other)) == 2

    assert "a run with another configuration" in capsys.readouterr().err
    assert read_metrics(finished) == before
    assert (finished / "resolved.yaml").read_text() == text


# --- a class of one's own --------------------------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    ["own_a/wide.py", *(pytest.param(f, marks=pytest.mark.exhaustive) for f in ("src/own_b/wide.py", "own_c.py"))],
)
def test_code_of_the_project_can_be_a_target_and_belongs_to_its_identity(project, capsys, file):
    """Packages without an `__init__.py`, and a module by itself."""
    module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
    package_name = module.partition(".")[0]
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    (project / file).write_text(WIDE)
    (project / "conf/model/wide.yaml").write_text(f"_target_: {module}.Wide\nwidth: 8\n")
    config = project / "conf/config.yaml"
    own = ["experiment=california", "model=wide", "schedule.max_epochs=1", NO_WANDB]
    command = [os.path.join(os.path.dirname(sys.executable), "treadle"), "train", *own]  # noqa: PTH118, PTH120

    assert treadle("train", *own) == 2
    assert f"'{module}.Wide' is outside the allowed targets" in capsys.readouterr().err

    config.write_text(config.read_text().replace("targets:\n", f"targets:\n  - {package_name}.\n"))
    for _ in range(2):
        subprocess.run(command, check=True, capture_output=True)
        (project / file).write_text(WIDE.replace("nn.ReLU", "nn.SiLU"))

    folders = [path.parent for path in project.glob("runs/*/stages.json")]
    assert len(folders) == 2
    rows = str(folders[0] / "examples" / "test.parquet")
    served = [[command[0], "predict", str(f), rows, "-o", "out.csv", "--allow", package_name] for f in folders]
    answers = [subprocess.run(serve, check=False, capture_output=True, text=True) for serve in served]
    assert sorted(answer.returncode for answer in answers) == [0, 2]  # the code of one of them is here no more
    assert any(f"trained with other code than the installed: {module};" in answer.stderr for answer in answers)


# --- tracking by the pipeline ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_shared_from_the_cache_is_recorded_in_full(project):
    """Another name, the same numbers: nothing is trained, and its record holds the whole history."""
    run_quick(NO_WANDB)
    assert run_quick("name=again", "tracker=offline") == 0

    (folder,) = project.glob("runs/again-*")
    (record,) = find_ended(folder)
    history = [row for row in read_history(record) if "valid/loss" in row]
    metrics = read_metrics(folder)["model"]
    assert [row["_step"] for row in history] == [13, 26]
    assert {key: read_summary(record)[f"model/{key}"] for key in metrics} == metrics


def test_disabled_tracking_writes_no_record(finished):
    assert not (finished / "wandb").exists()


def test_a_record_that_cannot_be_opened_costs_no_training(project, capsys, monkeypatch):
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(project))

    assert run_quick("tracker=online") == 2

    said = capsys.readouterr()
    assert "tracker.mode: 'online' cannot open a record" in said.err
    assert "the override tracker=offline needs none" in said.err
    assert "epoch" not in said.out
