import json
import os
import signal
import time
from pathlib import Path

import pytest

from treadle.experiment import spec
from treadle.sweeps.engines import cluster
from treadle.sweeps.engines.cluster import Jobs
from treadle.sweeps.engines.engine import End, Epoch, Job

pytest.importorskip("submitit")
from treadle.sweeps.engines.slurm import Slurm

pytestmark = pytest.mark.slow
FOLDER = str(Path(__file__).parent)
ANY = dict.fromkeys(("partition", "account", "qos", "memory_gb"))
SETTINGS = spec.SlurmEngine(by="slurm", cluster="local", time="10m", cpus=1, gpus=0, setup=[], options={}, **ANY)


def make_jobs(folder):
    return Jobs(Slurm(SETTINGS, folder=folder), folder, [FOLDER])


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "GRACE_S", 2.0)
    monkeypatch.setattr(cluster, "_ASK_S", 0.5)
    with make_jobs(tmp_path) as jobs:
        yield jobs


@pytest.fixture
def start(jobs, tmp_path):
    """Starts toy trials, numbered from 1 on: each a name, or a name with arguments."""

    def start(*trials, **more):
        for number, trial in enumerate(trials, start=1):
            name, arguments = (trial, {}) if isinstance(trial, str) else trial
            log = tmp_path / f"{number:04}" / "log.txt"
            log.parent.mkdir()
            job = Job(number, f"toy_trials.{name}", arguments, log, {"TOY": f"{number}"}, **more)
            assert jobs.start(job).job.startswith("slurm ")

    return start


def finish(jobs, *, goes_on=True):
    ends, epochs = {}, []
    while jobs.running:
        for event in jobs.wait(5):
            if isinstance(event, Epoch):
                epochs.append((event.epoch, event.value))
                jobs.answer(event.number, goes_on=goes_on)
            else:
                ends[event.number] = event
    return ends, epochs


def wait_until_it_hangs(jobs, file):
    while not file.exists() or not file.read_text():
        assert not [event for event in jobs.wait(0.1) if isinstance(event, End)]


def test_each_job_ends_in_its_own_way_and_says_so_itself(jobs, start, tmp_path):
    start(
        ("add", {"left": 1, "right": 2}),
        "fail",
        "kill",
        ("count", {"epochs": 3}),
        ("read_environment", {"name": "TOY"}),
    )
    ends, epochs = finish(jobs)
    assert {number: end.ending for number, end in ends.items()} == dict(
        enumerate(["done", "failed", "killed", "done", "done"], start=1)
    )
    assert (ends[1].result, ends[5].result) == (3, "5")
    assert (ends[2].error, ends[3].error) == ("ValueError: the first line", "its process was killed")
    assert epochs == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert (tmp_path / "0001/log.txt").read_text().startswith("adding\n")
    assert "Traceback" in (tmp_path / "0002/log.txt").read_text()


def test_a_job_that_is_not_to_go_on_ends_after_a_later_epoch(jobs, start):
    start(("count", {"epochs": 1000, "seconds": 0.1}))
    ends, epochs = finish(jobs, goes_on=False)
    assert ends[1].ending == "pruned"
    assert 1 <= len(epochs) < 1000
    assert ends[1].error == f"pruned after epoch {len(epochs)}"


def test_a_job_that_hangs_is_asked_to_save_and_a_deaf_one_is_ended_by_force(jobs, start, tmp_path):
    files = [tmp_path / "listens", tmp_path / "deaf"]
    start(*(("hang", {"file": str(file), "is_deaf": file.name == "deaf"}) for file in files), timeout_s=0.5)
    ends, _ = finish(jobs)
    assert {(end.ending, end.error) for end in ends.values()} == {("timed out", "timed out after 0.5 s")}
    assert [file.read_text() for file in files] == ["saved", "hangs"]


def test_stopping_lets_a_job_save(jobs, start, tmp_path):
    start(("hang", {"file": str(tmp_path / "state"), "is_deaf": False}))
    wait_until_it_hangs(jobs, tmp_path / "state")
    jobs.stop()
    ends, _ = finish(jobs)
    assert (ends[1].ending, (tmp_path / "state").read_text()) == ("interrupted", "saved")


def test_a_signal_that_reaches_a_worker_before_its_driver_is_no_failure(jobs, start, tmp_path):
    start(("hang", {"file": str(tmp_path / "state"), "is_deaf": False}))
    wait_until_it_hangs(jobs, tmp_path / "state")
    (started,) = tmp_path.glob("0001/attempts/1/started.json")
    os.kill(json.loads(started.read_text())["pid"], signal.SIGTERM)
    assert jobs.wait(1) == []
    jobs.stop()
    ends, _ = finish(jobs)
    assert (ends[1].ending, (tmp_path / "state").read_text()) == ("interrupted", "saved")


def test_a_job_of_an_earlier_driver_ends_when_another_one_drives(jobs, start, tmp_path):
    start(("hang", {"file": str(tmp_path / "state"), "is_deaf": False}))
    wait_until_it_hangs(jobs, tmp_path / "state")
    with make_jobs(tmp_path):
        begin = time.monotonic()
        ends, _ = finish(jobs)
    assert time.monotonic() - begin < 10
    assert ends[1].error == "ended by a signal: preempted, cancelled, or at the time limit of its job"
    assert (tmp_path / "state").read_text() == "saved"
