"""The records of other trackers than W&B, read back by the vendors' own readers. T… names the trap."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runs import find_run, run_quick
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import CsvTracker, MlflowTracker, TensorBoardTracker
from treadle.tracking import Membership, Recorded, open_record, record

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # within MLflow

SUPPORT = Path(__file__).parents[1] / "support"
CONFIG = {
    "name": "n",
    "schedule": {"monitor": "auroc"},
    "evaluation": {"metric": "log_loss"},
    "model": {"width": 8, "dropout": None, "sizes": [1, 2], "Größe [cm²]": 0.5},
}
ABOUT = {"git": {"commit": "abc"}}
URI = "sqlite:///runs/mlflow.db"
SETTINGS = {
    "csv": CsvTracker(by="csv"),
    "tensorboard": TensorBoardTracker(by="tensorboard"),
    "mlflow": MlflowTracker(by="mlflow", uri=URI, experiment="treadle", tags={"team": "a"}, upload_bundle=True),
}


@pytest.fixture(params=list(SETTINGS))
def tracker(request):
    if request.param != "csv":
        pytest.importorskip(request.param)
    return request.param


def open_named(tracker, root, *, signature="s"):
    recorded = Recorded(
        folder=RunFolder(root / "runs" / "r"),
        root=root,
        name="r",
        signature=signature,
        config=CONFIG,
        about=ABOUT,
        membership=Membership("model.width=8", "sweep-1", "search"),
    )
    return open_record(recorded, settings=SETTINGS[tracker])


def log_epochs(opened, epochs):
    for epoch in epochs:
        opened.log({"valid/loss": 1 / epoch, "epoch": float(epoch)}, step=10 * epoch)


def expected(epochs):
    return {"valid/loss": [(10 * e, 1 / e) for e in epochs], "epoch": [(10 * e, float(e)) for e in epochs]}


def read_history(tracker, root, folder="r"):
    """Of each metric the values with their steps."""
    return READERS[tracker](root, root / "runs" / folder)


def read_csv(root, folder):
    history = {}
    with (folder / "csv" / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            history.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    with (folder / "csv" / "summary.csv").open() as file:
        summary = {row["name"]: [float(row["value"])] for row in csv.DictReader(file)}
    return history | summary


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}).Reload()


def read_tensorboard(root, folder):
    events = read_events(folder)
    # Two files of one second, of two processes, may be read in the wrong order.
    return {n: sorted((event.step, event.value) for event in events.Scalars(n)) for n in events.Tags()["scalars"]}


def find_mlflow_runs(root):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/runs/mlflow.db")
    return client, client.search_runs([client.get_experiment_by_name("treadle").experiment_id])


def read_mlflow(root, folder):
    client, runs = find_mlflow_runs(root)
    (run,) = [run for run in runs if run.info.run_name == folder.name]
    names = run.data.metrics
    return {name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)] for name in names}


READERS = {"csv": read_csv, "tensorboard": read_tensorboard, "mlflow": read_mlflow}


def assert_history(found, wanted):
    """TensorBoard keeps 32 bits of a value."""
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert [step for step, _ in found[name]] == [step for step, _ in values]
        assert all(math.isclose(a, b, rel_tol=1e-6) for (_, a), (_, b) in zip(found[name], values, strict=True))


def test_a_record_holds_the_metrics_of_each_step_and_of_the_run(tmp_path, tracker):
    with open_named(tracker, tmp_path) as opened:
        log_epochs(opened, [1, 2])
        opened.summarize({"best/auroc": 0.5})
        opened.summarize({"model/auroc": 0.75})

    found = read_history(tracker, tmp_path)
    summary = [found.pop("best/auroc"), found.pop("model/auroc")]
    assert_history(found, expected([1, 2]))
    assert summary in ([[0.5], [0.75]], [[(20, 0.5)], [(20, 0.75)]])


def test_a_resumed_training_goes_on_and_another_begins_anew(tmp_path, tracker):
    """T10: the same record, no step twice."""
    for epochs in ([1, 2], [1, 2, 3]):
        with open_named(tracker, tmp_path) as opened:
            log_epochs(opened, epochs)
            opened.summarize({})
    goes_on = read_history(tracker, tmp_path)

    with open_named(tracker, tmp_path, signature="other") as opened:
        last_step = opened.last_step

    assert_history(goes_on, expected([1, 2, 3]))
    assert last_step == -1


@pytest.mark.slow
def test_a_killed_process_loses_no_step(tmp_path, tracker):
    """T21."""
    code = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from test_trackers import *\n"
        f"opened = open_named({tracker!r}, Path(sys.argv[1])).__enter__()\n"
        "log_epochs(opened, [1, 2]); opened.summarize({}); os._exit(9)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent), str(SUPPORT)]
    assert subprocess.run(command, env={**os.environ}, check=False, timeout=120).returncode == 9

    assert_history(read_history(tracker, tmp_path), expected([1, 2]))
    with open_named(tracker, tmp_path) as opened:
        log_epochs(opened, [1, 2, 3])
    assert_history(read_history(tracker, tmp_path), expected([1, 2, 3]))


def test_tables_hold_the_configuration(tmp_path):
    with open_named("csv", tmp_path):
        pass

    with (tmp_path / "runs" / "r" / "csv" / "params.csv").open() as file:
        params = {row["key"]: row["value"] for row in csv.DictReader(file)}
    assert params["name"] == "n"
    assert {key: json.loads(value) for key, value in params.items() if key.startswith("model.")} == {
        f"model.{key}": value for key, value in CONFIG["model"].items()
    }


def test_tensorboard_holds_the_configuration_beside_its_metrics(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    with open_named("tensorboard", tmp_path):
        pass

    events = read_events(tmp_path / "runs" / "r")
    data = {
        name: HParamsPluginData.FromString(content) for name, content in events.PluginTagToContent("hparams").items()
    }
    params = data["_hparams_/session_start_info"].session_start_info.hparams
    metrics = [info.name.tag for info in data["_hparams_/experiment"].experiment.metric_infos]
    assert (params["model.width"].number_value, params["model.sizes"].string_value) == (8, "[1, 2]")
    assert metrics == ["valid/auroc", "model/log_loss"]
    assert "model.dropout: null" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()


def test_mlflow_holds_parameters_tags_files_and_how_the_run_ended(tmp_path):
    pytest.importorskip("mlflow")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "weights").write_bytes(b"w")
    with pytest.raises(RuntimeError, match="boom"), open_named("mlflow", tmp_path) as opened:  # noqa: PT012
        log_epochs(opened, [1])
        opened.log_curve(name="roc", x="fpr", y="tpr", rows=[{"fpr": 0.0, "tpr": 0.5}])
        opened.log_bundle(tmp_path / "bundle", name="bundle")
        raise RuntimeError("boom")

    client, (run,) = find_mlflow_runs(tmp_path)
    params, tags = run.data.params, run.data.tags
    assert (run.info.status, run.info.run_name) == ("FAILED", "r")
    assert (params["name"], params["model.sizes"], params["model.Größe _cm²_"]) == ("n", "[1, 2]", "0.5")
    assert (tags["team"], tags["mlflow.source.git.commit"]) == ("a", "abc")
    assert (tags["sweep.setting"], tags["group"], tags["job_type"]) == ("model.width=8", "sweep-1", "search")
    files = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert files == {"about.json", "bundle", "config.json", "curves"}
    assert json.loads(Path(client.download_artifacts(run.info.run_id, "config.json")).read_text()) == CONFIG

    with open_named("mlflow", tmp_path):
        pass
    assert [run.info.status for run in find_mlflow_runs(tmp_path)[1]] == ["FINISHED"]


def test_variables_of_mlflow_take_precedence(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other/own.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    monkeypatch.setenv("MLFLOW_RUN_NAME", "named")
    from mlflow import MlflowClient

    with open_named("mlflow", tmp_path):
        pass

    client = MlflowClient(f"sqlite:///{tmp_path}/other/own.db")
    (run,) = client.search_runs([client.get_experiment_by_name("theirs").experiment_id])
    assert run.info.run_name == "named"


def test_a_database_that_cannot_be_opened_is_named(tmp_path):
    pytest.importorskip("mlflow")
    (tmp_path / "runs" / "mlflow.db").mkdir(parents=True)

    with pytest.raises(TreadleError, match=r"^tracker.uri: MLflow cannot open a record at '.*/runs/mlflow.db': "):
        open_named("mlflow", tmp_path).__enter__()


@pytest.mark.parametrize("by", ["tensorboard", "mlflow"])
def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch, by):
    monkeypatch.setattr(record, "find_spec", lambda _: None)

    with pytest.raises(TreadleError, match=rf"^tracker.by: .* {by}, .* pip install 'treadle\[{by}\]'$"):
        open_named(by, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["recorded", "done"])
def test_a_run_records_epochs_and_evaluation(project, run_once, tracker, first):
    """Also a run that is done without the tracker."""
    if first == "done":
        shutil.copytree(run_once("tracker=disabled"), project / "runs", symlinks=True)
    assert run_quick(f"tracker={tracker}") == 0

    folder = find_run(project)
    found = read_history(tracker, project, folder.name)
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert [value for _, value in found["epoch"]] == [1.0, 2.0]
    shown = {name.removeprefix("model/"): values for name, values in found.items() if name.startswith("model/")}
    for name, values in shown.items():
        value = values[0] if tracker == "csv" else values[0][1]
        assert math.isclose(value, metrics["model"][name], rel_tol=1e-6)
    assert shown.keys() == metrics["model"].keys()
