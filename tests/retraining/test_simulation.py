"""A stretch lived again: the same history, however often it is interrupted."""

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

import polars as pl
import pytest

from drifting import RULES, make_visits_project
from runs import treadle
from treadle.retraining.ledger import Decided, read_decisions, record
from treadle.retraining.simulation import Clock

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


def kill_during(words, folder, *, ticks, seconds):
    """Begin a simulation, or go on with it, and kill it so many seconds after so many decisions have been told."""
    command = [sys.executable, "-m", "treadle", *words]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        told = []
        while sum(line.endswith(" rows answered\n") for line in told) < ticks:
            told.append(process.stderr.readline())
            assert told[-1], "".join(told)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)


@pytest.mark.exhaustive
def test_a_kill_at_any_moment_changes_no_digit_of_the_history(tmp_path, monkeypatch):
    """Three months with a trial in the shadow and a way back, once at one go and once killed again and again."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    asked = [*WHOLE, "retrain=shadow"]
    for folder in (whole, killed):
        folder.mkdir()
        make_visits_project(folder, breaks_at=130, heals_at=183)
    monkeypatch.chdir(whole)
    assert treadle(*asked) == 0
    actions = [tick["action"] for tick in json.loads((whole / HISTORY).read_text())]
    assert actions[-3:] == ["challenge", "promote", "rollback"]

    for ticks, seconds in ((0, 6), (1, 1), (3, 2), (5, 0.3), (5, 1.5), (6, 0.2), (6, 1), (7, 0.5), (7, 2)):
        kill_during(asked, killed, ticks=ticks, seconds=seconds)
    monkeypatch.chdir(killed)
    assert treadle(*asked) == 0

    for file in (HISTORY, "retraining/visits.jsonl"):
        assert (killed / file).read_text() == (whole / file).read_text()


@pytest.mark.exhaustive
def test_three_months_of_flights_are_lived_again_and_killed_in_between(project, monkeypatch):
    """As `make year`, and quicker: a decision a fortnight, and the first champion is old soon."""
    rules = ["retrain=shadow", "retrain.act.age.after=45d", "retrain.shadow.longest=14d"]
    experiment = ["experiment=flights", "model=lightgbm", "tracker=disabled", "name=quarter"]
    asked = ["simulate", *experiment, *rules, "--from", "2013-04-01", "--to", "2013-07-01", "--every", "2w"]
    kill_during(asked, project, ticks=1, seconds=5)
    kill_during(asked, project, ticks=3, seconds=2)

    assert treadle(*asked) == 0

    ticks = json.loads((project / "retraining/simulations/quarter/history.json").read_text())
    actions = [tick["action"] for tick in ticks]
    assert len(ticks) == 7
    assert actions[0] == "promote"
    assert "challenge" in actions
    (tried, *_) = (tick for tick in ticks if tick["challenger"] is not None)
    assert min(tried[key] for key in ("skill", "first_skill", "challenger_skill")) > 0
    flights = pl.scan_parquet(sorted((project / "retraining/simulations/quarter/log").glob("2*/*.parquet")))
    assert flights.select(pl.len()).collect().item() == sum(tick["answered"] for tick in ticks) > 80_000
