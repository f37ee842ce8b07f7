"""The record in W&B: real runs, read back from disk, and synced to a server on this machine. T… names the trap."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from treadle.experiment.spec import Tracker
from treadle.tracking import track
from wandb_record import find_records, read_config, read_exit_code, read_history, read_summary

CONFIG = {"name": "n", "seed": 0, "model": {"width": 8, "dropout": None, "sizes": [1, 2]}, "flag": False}
ABOUT = {"git": {"commit": "abc", "changed": True}, "changes": "+x", "packages": {"torch": "2"}}


def open_record(folder, *, signature="s", config=None, mode="offline"):
    settings = Tracker(mode=mode, project="treadle", entity=None, tags=["test"], upload_bundle=True)
    return track(settings=settings, folder=folder, name="n", signature=signature, config=config or CONFIG, about=ABOUT)


def log_epochs(record, epochs):
    for epoch in epochs:
        record.log({"valid/loss": 1 / (epoch + 1), "epoch": float(epoch)}, step=10 * epoch)


def expected(epochs):
    return [{"valid/loss": 1 / (epoch + 1), "epoch": float(epoch), "_step": 10 * epoch} for epoch in epochs]


def test_a_record_holds_history_config_and_summary(tmp_path):
    """T9 and T20: plain containers, null kept, provenance beside the experiment."""
    with open_record(tmp_path) as record:
        log_epochs(record, range(1, 4))
        record.summarize({"model/auroc": 0.7512345678901234})

    (folder,) = find_records(tmp_path)
    config = read_config(folder)
    assert read_history(folder) == expected(range(1, 4))
    assert {key: config[key] for key in CONFIG} == CONFIG
    assert config["treadle"] == ABOUT
    assert read_summary(folder)["model/auroc"] == 0.7512345678901234
    assert read_exit_code(folder) == 0


def test_two_records_in_one_process_stay_two(tmp_path, monkeypatch):
    """T9; not even a run id in the environment makes one of them."""
    monkeypatch.setenv("WANDB_RUN_ID", "samesame")
    for name in ("a", "b"):
        with open_record(tmp_path / name, config={"name": name}) as record:
            record.log({name: 1.0}, step=1)

    folders = [find_records(tmp_path / name)[0] for name in ("a", "b")]
    assert len({folder.name.rsplit("-", 1)[1] for folder in folders}) == 2
    assert [read_config(folder)["name"] for folder in folders] == ["a", "b"]
    assert [set(read_history(folder)[0]) for folder in folders] == [{"a", "_step"}, {"b", "_step"}]


def test_the_same_signature_goes_on_and_another_begins_anew(tmp_path):
    """T10."""
    ids = []
    for signature, epochs in (("one", range(1, 3)), ("one", range(1, 5)), ("two", range(1, 2))):
        with open_record(tmp_path, signature=signature) as record:
            ids.append(record.id)
            log_epochs(record, epochs)

    histories = [read_history(folder) for folder in find_records(tmp_path)]
    assert ids[0] == ids[1] != ids[2]
    assert histories == [expected(range(1, 3)), expected(range(3, 5)), expected(range(1, 2))]


def test_a_curve_is_y_over_x(tmp_path):
    rows = [{"fpr": 0.0, "tpr": 0.0}, {"fpr": 0.5, "tpr": 0.9}, {"fpr": 1.0, "tpr": 1.0}]
    with open_record(tmp_path) as record:
        log_epochs(record, [1])
        record.log_curve(name="roc", x="fpr", y="tpr", rows=rows)

    history = read_history(find_records(tmp_path)[0])[1:]
    assert history == [{"roc/fpr": r["fpr"], "roc/tpr": r["tpr"], "_step": 11 + i} for i, r in enumerate(rows)]


def test_a_failure_finishes_the_record_and_passes_on(tmp_path):
    with pytest.raises(RuntimeError, match="boom"), open_record(tmp_path) as record:  # noqa: PT012
        log_epochs(record, [1])
        raise RuntimeError("boom")

    (folder,) = find_records(tmp_path)
    assert read_exit_code(folder) == 1
    assert read_history(folder) == expected([1])


def test_disabled_keeps_nothing(tmp_path):
    with open_record(tmp_path, mode="disabled") as record:
        log_epochs(record, [1])
        record.summarize({"x": 1.0})
        record.log_curve(name="roc", x="a", y="b", rows=[{"a": 0.0, "b": 0.0}])
        record.log_bundle(tmp_path, name="b")

    assert record.id is None
    assert list(tmp_path.iterdir()) == []


def test_neither_the_import_nor_disabled_tracking_imports_wandb(tmp_path):
    code = (
        "import sys; from pathlib import Path; from treadle.tracking import track; "
        "from treadle.experiment.spec import Tracker\n"
        "s = Tracker(mode='disabled', project='p', entity=None, tags=[], upload_bundle=False)\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "with track(settings=s, folder=folder, name='n', signature='s', config={}, about={}) as t:\n"
        "    t.log({'x': 1.0}, step=1)\n"
        "assert 'wandb' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_killed_run_loses_nothing_that_it_logged(tmp_path):
    """T21."""
    code = (
        "import sys, time; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from test_tracking import *\n"
        "with open_record(Path(sys.argv[1])) as record:\n"
        "    log_epochs(record, range(1, 30)); print('logged', flush=True); time.sleep(60)\n"
    )
    places = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), *places], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "logged\n"
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    (folder,) = find_records(tmp_path)
    assert read_history(folder) == expected(range(1, 30))
    assert read_exit_code(folder) is None


# --- to a server -----------------------------------------------------------------------------------------


@pytest.fixture
def server():
    file = Path(__file__).with_name("loopback_server.py")
    spec = importlib.util.spec_from_file_location("loopback_server", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.serve() as (url, received):
        yield url, received


def sync(url, folders):
    environment = {**os.environ, "WANDB_BASE_URL": url, "WANDB_API_KEY": "0" * 40}
    command = [str(Path(sys.executable).with_name("wandb")), "sync", *map(str, folders)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


def without_wandbs_own(row):
    return {key: value for key, value in row.items() if not key.startswith("_") or key == "_step"}


def test_a_synced_record_arrives_whole(tmp_path, server):
    url, received = server
    with open_record(tmp_path) as record:
        log_epochs(record, range(1, 6))
        record.summarize({"model/auroc": 0.7512345678901234})

    sync(url, find_records(tmp_path))

    arrived = [without_wandbs_own(row) for row in received.history(record.id)]
    config = received.config(record.id)
    assert arrived == expected(range(1, 6))
    assert {key: config[key] for key in CONFIG} == CONFIG
    assert config["treadle"] == ABOUT
    assert received.summary(record.id)["model/auroc"] == 0.7512345678901234
    assert received.files[record.id]["exitcode"] == 0


def test_a_continued_record_arrives_as_one_run(tmp_path, server):
    """T10 and T11: offline, resumed offline, synced later."""
    url, received = server
    for epochs in (range(1, 4), range(1, 7)):
        with open_record(tmp_path) as record:
            log_epochs(record, epochs)

    for folder in find_records(tmp_path):
        sync(url, [folder])

    assert list(received.runs) == [record.id]
    assert [without_wandbs_own(row) for row in received.history(record.id)] == expected(range(1, 7))
