"""A stretch lived again: the same history, however often it is interrupted."""

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest

from drifting import make_visits_project
from runs import treadle
from treadle.retraining.ledger import Decided, read_decisions, record
from treadle.retraining.simulation import Clock

RULES = ["experiment=visits", "retrain.valid=7d", "retrain.block=14d", "retrain.window=28d"]
WHOLE = ["simulate", *RULES, "--from", "2020-04-15", "--to", "2020-07-28", "--every", "13d"]
HISTORY = "retraining/simulations/visits/history.json"


def test_a_clock_ends_where_it_is_told():
    day = datetime(2020, 1, 1)  # noqa: DTZ001 - UTC
    ticks = Clock(day, day + timedelta(days=5), timedelta(days=2)).list_ticks()

    assert [(first.day, last.day) for first, last in ticks] == [(1, 3), (3, 5), (5, 6)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--from", "2020-02-01", "--to", "2020-01-01"], "--from 2020-02-01 must be before --to 2020-01-01"),
        (["--from", "2020-01-01", "--to", "2020-02-01", "--every", "1h"], "1d or more"),
        (["--from", "soon", "--to", "2020-02-01"], "--from 'soon': a date or datetime is written as in ISO 8601"),
    ],
    ids=["backwards", "too often", "no moment"],
)
def test_a_clock_that_cannot_run_is_refused(project, capsys, given, words):
    assert treadle("simulate", *given) == 2

    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WHOLE, "has a decision of 2020-04-16T00:00:00, which is no moment of this clock; a simulation needs a name"),
        ([*WHOLE, "--from", "2020-04-16"], "was made by other rules of `retrain`"),
        (
            ["retrain", *RULES, "--now", "2020-04-15"],
            "has a decision of 2020-04-16T00:00:00, which is after 2020-04-15",
        ),
    ],
    ids=["another clock", "other rules", "the past"],
)
def test_a_ledger_of_others_is_left_alone(tmp_path, monkeypatch, capsys, words, message):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    decided = Decided("2020-04-16T00:00:00", "2020-04-15T00:00:00", None, "nothing", (), {}, None, None, None, "rules")
    record(read_decisions("visits", root=tmp_path), decided)

    assert treadle(*words) == 2

    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "models").exists()


@pytest.mark.exhaustive
def test_a_kill_at_any_moment_changes_no_digit_of_the_history(tmp_path, monkeypatch):
    """Three months with a break of the rule, once at one go and once killed again and again."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        make_visits_project(folder, breaks_at=130)
    monkeypatch.chdir(whole)
    assert treadle(*WHOLE) == 0
    history = json.loads((whole / HISTORY).read_text())
    assert {"promote", "nothing"} <= {tick["action"] for tick in history}
    assert sum(tick["skill"] for tick in history) > sum(tick["first_skill"] for tick in history)

    for seconds in (5, 11, 17, 23, 31):
        process = subprocess.Popen([sys.executable, "-m", "treadle", *WHOLE], cwd=killed)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    monkeypatch.chdir(killed)
    assert treadle(*WHOLE) == 0

    assert (killed / HISTORY).read_text() == (whole / HISTORY).read_text()
    assert (killed / "retraining/visits.jsonl").read_text() == (whole / "retraining/visits.jsonl").read_text()
