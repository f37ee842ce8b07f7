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
