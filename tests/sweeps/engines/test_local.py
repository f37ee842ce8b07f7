import time
from pathlib import Path

import pytest

from treadle.errors import TreadleError
from treadle.experiment.file_states import read_state
from treadle.experiment.imports import SourceFile
from treadle.sweeps.engines import local
from treadle.sweeps.engines.engine import Epoch, Job
from treadle.sweeps.engines.local import Pool

pytestmark = pytest.mark.slow
FOLDER = str(Path(__file__).parent)


def find(*names, **files):
    """Sources as they are hashed: of toy trials, and of files by the name of their module."""
    paths = {name: Path(FOLDER, f"{name}.py") for name in names} | files
    return {name: SourceFile(path, read_state(path), b"") for name, path in paths.items()}


@pytest.fixture
def pool():
    with Pool(paths=[FOLDER], sources=find("toy_trials")) as pool:
        yield pool


@pytest.fixture
def run(pool, tmp_path):
    """Runs one job to its end; gives what happened."""

    def run(function, timeout_s=None, environment=None, answers=(), **arguments):
        job = Job(1, f"toy_trials.{function}", arguments, tmp_path / "log.txt", environment or {}, timeout_s)
        pool.start(job)
        return finish(pool, answers)

    return run


def finish(pool, answers=()):
    events, answers = [], list(answers)
    while pool.running:
        for event in pool.wait(5):
            events.append(event)
            if isinstance(event, Epoch):
                pool.answer(event.number, goes_on=answers.pop(0) if answers else True)
    return events


def test_a_result_comes_back_and_what_is_printed_goes_to_the_log(run, tmp_path):
    (end,) = run("add", left=1, right=2)
    assert (end.ending, end.result, end.exit_code) == ("done", 3, 0)
    assert (tmp_path / "log.txt").read_text() == "adding\n"


def test_each_epoch_is_answered(run):
    *epochs, end = run("count", epochs=3)
    assert [(epoch.epoch, epoch.value) for epoch in epochs] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert end.ending == "done"
    *epochs, end = run("count", epochs=30, answers=[True, False])
    assert len(epochs) == 2
    assert (end.ending, end.error) == ("pruned", "pruned after epoch 2")


@pytest.mark.parametrize(
    ("name", "ending", "error"),
    [
        ("fail", "failed", "ValueError: the first line"),
        ("announce", "failed", "RuntimeError: Error(s) in loading: size mismatch for net.weight."),
        ("kill", "killed", "killed by SIGKILL; the machine may be out of memory"),
        ("end", "killed", "ended with exit code 3 and no result"),
        ("fill_memory", "failed", "MemoryError: "),
        ("absent", "failed", "AttributeError: module 'toy_trials' has no attribute 'absent'"),
    ],
)
def test_a_trial_that_ends_badly_says_how(run, tmp_path, name, ending, error):
    (end,) = run(name)
    assert (end.ending, end.error) == (ending, error)
    assert ending == "killed" or "Traceback" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("is_deaf", [False, True], ids=["listens", "is deaf to SIGTERM"])
def test_a_trial_that_hangs_is_ended(run, tmp_path, monkeypatch, is_deaf):
    monkeypatch.setattr(local, "GRACE_S", 0.3)
    file = tmp_path / "state"
    (end,) = run("hang", timeout_s=2, file=str(file), is_deaf=is_deaf)  # a busy machine needs one to begin
    assert (end.ending, end.error) == ("timed out", "timed out after 2 s")
    assert file.read_text() == ("hangs" if is_deaf else "saved")


def test_the_others_go_on(pool, tmp_path):
    for number, name in enumerate(["kill", "add", "fail"], start=1):
        arguments = {"left": 1, "right": 1} if name == "add" else {}
        pool.start(Job(number, f"toy_trials.{name}", arguments, tmp_path / f"{number}.txt"))
    ends = {event.number: event.ending for event in finish(pool)}
    assert ends == {1: "killed", 2: "done", 3: "failed"}


def test_stopping_lets_a_trial_save_and_forcing_does_not(pool, tmp_path):
    for is_forced in (False, True):
        file = tmp_path / f"{is_forced}"
        pool.start(Job(1, "toy_trials.hang", {"file": str(file), "is_deaf": False}, tmp_path / "log.txt"))
        while not file.exists() or not file.read_text():
            time.sleep(0.02)
        pool.stop(force=is_forced)
        (end,) = finish(pool)
        assert (end.ending, file.read_text()) == ("interrupted", "hangs" if is_forced else "saved")


def test_a_worker_has_its_own_environment(run):
    (end,) = run("read_environment", environment={"CUDA_VISIBLE_DEVICES": "1"}, name="CUDA_VISIBLE_DEVICES")
    assert end.result == "1"


def test_trials_at_once_have_a_gpu_each_and_a_free_one_is_taken_again(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,MIG-7")
    assert pool.count_slots(num_threads=1, uses_gpu=True) == 2
    hang, read = {"file": str(tmp_path / "state"), "is_deaf": False}, {"name": "CUDA_VISIBLE_DEVICES"}
    pool.start(Job(1, "toy_trials.hang", hang, tmp_path / "1.txt", uses_gpu=True))  # it has the first one

    found = []
    for number, uses_gpu in ((2, True), (3, True), (4, False)):
        job = Job(number, "toy_trials.read_environment", read, tmp_path / f"{number}.txt", uses_gpu=uses_gpu)
        pool.start(job)
        while number in pool.running:
            found += [end.result for end in pool.wait(5)]
    pool.stop()
    finish(pool)

    assert found == ["MIG-7", "MIG-7", None]


def test_what_is_preloaded_is_frozen_and_a_failing_import_is_told(tmp_path):
    source = tmp_path / "edited.py"
    source.write_text("VALUE = 'before'\n")
    with Pool(paths=[FOLDER, str(tmp_path)], sources=find("toy_trials", edited=source)) as pool:
        for _ in range(2):
            pool.start(Job(1, "toy_trials.read_constant", {}, tmp_path / "log.txt"))
            (end,) = finish(pool)
            assert end.result == "before"
            source.write_text("VALUE = 'after, which is longer'\n")
    source.write_text("1 / 0\n")
    with (
        pytest.raises(TreadleError, match="edited cannot be imported: ZeroDivisionError: division by zero"),
        Pool(paths=[FOLDER, str(tmp_path)], sources=find(edited=source)),
    ):
        pass


def test_a_source_that_is_edited_while_the_server_starts_is_seen(tmp_path):
    source = tmp_path / "slow.py"
    source.write_text("VALUE = 'hashed'\n")
    hashed = find(slow=source)
    source.write_text("VALUE = 'imported'\n")
    with (
        pytest.raises(TreadleError, match=r"slow.py was edited while the sweep started; run the same command again"),
        Pool(paths=[FOLDER, str(tmp_path)], sources=hashed),
    ):
        pass
