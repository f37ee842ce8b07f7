"""The loop closed on a table whose rule breaks: a champion, calm, a fall, a new champion; and nothing is done twice."""

import json

import polars as pl
import pytest

from drifting import PER_DAY, RULES, decide
from runs import treadle
from treadle.champions.ledger import read_history
from treadle.errors import TreadleError
from treadle.pipeline.locks import try_lock
from treadle.retraining.ledger import read_decisions


@pytest.fixture(scope="module")
def lived(settle):
    """A project after four calls; its rule breaks on 30 May."""
    with settle(breaks_at=150) as folder:
        decide("2020-04-15", "2020-04-15T07:00", "2020-05-20", "2020-07-20")
    return folder


@pytest.mark.slow
def test_a_fall_is_answered_and_nothing_else(lived):
    first, calm, fallen = read_decisions("visits", root=lived).items

    assert (first.action, first.reasons) == ("promote", ["there is no champion yet"])
    assert (calm.action, calm.run, calm.bundle) == ("nothing", None, first.bundle)
    assert fallen.action == "promote"
    assert fallen.champion == first.bundle
    assert any(reason.startswith("performance: lost") for reason in fallen.reasons)
    assert fallen.sentence.startswith("promote: better than the champion beyond noise")
    history = read_history("visits", root=lived)
    assert (history.champion, history.decisions[-1].reason) == (fallen.bundle, "; ".join(fallen.reasons))


@pytest.mark.slow
def test_what_a_kill_left_undone_is_done_by_the_next_call(lived, tmp_path, monkeypatch):
    monkeypatch.chdir(lived)
    ledger = lived / "models" / "visits.jsonl"
    whole = ledger.read_text()
    ledger.write_text(whole.splitlines(keepends=True)[0])  # killed between the decision and the promotion

    decide("2020-07-20")

    assert ledger.read_text() == whole
    assert len(read_decisions("visits", root=lived).items) == 3


@pytest.mark.slow
def test_a_dry_run_writes_nothing(lived, monkeypatch, capsys):
    monkeypatch.chdir(lived)
    before = (lived / "retraining" / "visits.jsonl").read_text()

    assert treadle("retrain", *RULES, "--now", "2020-09-20", "retrain.act.age.after=10d", "--dry-run") == 0

    assert "would be: 2020-09-20T00:00  retrain   age: 77 days old" in capsys.readouterr().out
    assert (lived / "retraining" / "visits.jsonl").read_text() == before


@pytest.mark.slow
def test_two_at_a_time_exclude_each_other(lived, monkeypatch, capsys):
    monkeypatch.chdir(lived)
    before = (lived / "retraining" / "visits.jsonl").read_text()

    with try_lock(lived / "runs" / ".retrain-visits.lock") as is_free:
        assert treadle("retrain", *RULES, "--now", "2020-09-20", "retrain.act.age.after=10d") == 0

    assert is_free
    assert "another process decides about visits" in capsys.readouterr().err
    assert (lived / "retraining" / "visits.jsonl").read_text() == before


@pytest.mark.slow
def test_a_changed_line_is_found(lived, tmp_path):
    folder = tmp_path / "retraining"
    folder.mkdir()
    lines = (lived / "retraining" / "visits.jsonl").read_text().splitlines(keepends=True)
    first = {**json.loads(lines[0]), "reasons": ["because"]}
    (folder / "visits.jsonl").write_text("".join([json.dumps(first) + "\n", *lines[1:]]))

    with pytest.raises(TreadleError, match=r"visits\.jsonl:2: does not follow the line before it"):
        read_decisions("visits", root=tmp_path)


def count_decisions(project):
    return len(read_decisions("visits", root=project).items)


@pytest.mark.slow
def test_where_no_newer_rows_come_nothing_is_decided_and_that_is_written_once_and_at_once(copied, capsys):
    before = count_decisions(copied)

    decide("2020-10-20")

    waiting = read_decisions("visits", root=copied).items[-1]
    why = "no newer rows: the newest one with a label is of 2020-09-26T11:00, before the newest 14d (retrain.block)"
    assert (waiting.action, waiting.reasons, waiting.run) == ("nothing", [why], None)
    capsys.readouterr()
    decide("2020-10-20T01:00", "2020-10-21", "2021-03-01")
    told = capsys.readouterr().err
    assert "prepare" not in told  # the tables are the same, and were looked at
    assert told.count("nothing is new since 2020-10-20T00:00:00: ") == 3
    assert count_decisions(copied) == before + 1


@pytest.mark.slow
def test_rows_that_come_after_a_pause_are_decided_by(copied):
    decide("2020-10-20")
    table = pl.read_parquet("visits.parquet")
    later = table.tail(40 * PER_DAY).with_columns(pl.col("id") + len(table), pl.col("at").dt.offset_by("40d"))
    pl.concat([table, later]).write_parquet("visits.parquet")

    decide("2020-10-21")

    newest = read_decisions("visits", root=copied).items[-1]
    assert newest.time == "2020-10-21T00:00:00"
    assert newest.evidence["skill"] is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("now", "fix"),
    [
        ("2021-03-01", "bring newer rows, or decide as of then by --now 2020-09-28"),
        ("2020-01-21", "bring older rows, wait for newer ones, or type retrain.block=4d retrain.valid=2d"),
        ("2020-01-04", "bring older rows, or wait for newer ones"),
    ],
    ids=["rows are old", "tables are short", "tables are shorter"],
)
def test_a_first_champion_for_which_rows_are_too_few_is_told_the_dates_and_the_fix(settle, capsys, now, fix):
    with settle():
        assert treadle("retrain", *RULES, "--now", now) == 2
        told = capsys.readouterr().err
        typed = [word for word in fix.split() if word.startswith("retrain.")]
        again = [*RULES, *typed, "--now", fix.split()[-1] if "--now" in fix else now]
        code = treadle("retrain", *again, "--dry-run")

    assert "examples, which are from 2020-01-01T00:00 to 2020-09-26T11:00; " in told
    assert told.strip().endswith(fix)
    assert code == (2 if fix.endswith("wait for newer ones") else 0)


def test_a_moment_that_is_none_is_refused(project, capsys):
    assert treadle("retrain", "--now", "yesterday") == 2

    assert "--now 'yesterday': a date or datetime is written as in ISO 8601" in capsys.readouterr().err
