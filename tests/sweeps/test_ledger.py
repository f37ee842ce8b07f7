import pytest

from treadle.errors import TreadleError
from treadle.sweeps.ledger import Ledger, Trial


def make(number, seed=0):
    return Trial(number, {"schedule.optimizer.lr": "0.001"}, seed, "search", f"flights-{number:08}")


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add([make(1), make(2, seed=1), make(3, seed=2)])
    ledger.start(1, pid=7)
    ledger.report(1, epoch=1, value=0.7)
    ledger.end(1, "done", values=[0.5], seconds=2.0)
    ledger.start(2, pid=8)
    ledger.report(2, epoch=1, value=float("nan"))
    return ledger


def test_it_is_read_as_it_was_written_but_nothing_runs_any_more(ledger, tmp_path):
    again = Ledger(tmp_path)
    assert again.trials[1] == ledger.trials[1]
    assert (ledger.trials[2].state, again.trials[2].state) == ("running", "interrupted")
    assert [trial.state for trial in again.trials.values()] == ["done", "interrupted", "waiting"]


@pytest.mark.parametrize("torn", ['{"event": "end", "tri', '{"event": "end"}', "\x00\x00"])
def test_a_line_that_was_cut_short_is_cut_off(ledger, tmp_path, torn):
    whole = ledger.path.read_text()
    with ledger.path.open("a") as file:
        file.write(torn)
    again = Ledger(tmp_path)
    again.end(2, "done", values=[0.4])
    assert ledger.path.read_text().startswith(whole)
    assert Ledger(tmp_path).trials[2].values == [0.4]


def test_a_damaged_line_is_named(ledger, tmp_path):
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("\n".join([lines[0], "nonsense", *lines[1:]]) + "\n")
    with pytest.raises(TreadleError, match=r"ledger.jsonl:2: is not a line of a ledger"):
        Ledger(tmp_path)


def test_a_missing_line_that_added_trials_is_named(ledger, tmp_path):
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text("".join(lines[1:]))
    with pytest.raises(TreadleError, match=r"ledger.jsonl:1: no line before it adds trial 1; restore the file"):
        Ledger(tmp_path)


def test_a_retry_begins_anew_and_counts_all_time(ledger, tmp_path):
    ledger.end(2, "failed", error="out of luck", seconds=3.0)
    ledger.retry(2)
    assert (ledger.trials[2].state, ledger.trials[2].error) == ("waiting", "")
    ledger.start(2, pid=9)
    ledger.end(2, "done", values=[0.3], seconds=4.0)
    trial = Ledger(tmp_path).trials[2]
    assert (trial.attempts, trial.seconds, trial.values) == (2, 7.0, [0.3])
