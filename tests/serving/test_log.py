"""The log of predictions is whole at any moment, holds each of them once, and nothing that is private."""

import random
import shutil
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from treadle.errors import TreadleError
from treadle.serving.log import RECENT, PredictionLog, Record, recover, scan_log

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = {"age": pl.Int64(), "id": pl.String(), "born": pl.Date(), "name": pl.String()}


def open_log(folder, **changed):
    given = {
        "types": TYPES,
        "kept": ["age", "id", "born"],
        "outputs": {"probability": pl.Float64()},
        "share": 1.0,
        "roll": timedelta(minutes=10),
        "keyed": False,
    }
    return PredictionLog(folder, **{**given, **changed})


def record(number):
    return Record(
        f"{number:024x}.0", NOW.replace(tzinfo=None), "b" * 64, 1.5, (number, "x", 20_000, "Eve"), {"probability": 0.5}
    )


def list_ids(folder):
    return scan_log(folder).collect()["id"].to_list()


def test_a_record_holds_what_was_kept_and_the_prediction(tmp_path):
    log = open_log(tmp_path)
    log.add(record(7))
    log.flush(now=NOW)

    (row,) = scan_log(tmp_path).collect().to_dicts()

    assert {name: row[name] for name in ("ms", "age", "probability", "input.id")} == {
        "ms": 1.5, "age": 7, "probability": 0.5, "input.id": "x",
    }  # fmt: skip
    assert row["id"] == f"{7:024x}.0"
    assert row["born"].isoformat() == "2024-10-04"
    assert "name" not in row
    log.close(now=NOW)


def test_a_period_becomes_one_file(tmp_path):
    log = open_log(tmp_path)
    for second in range(5):
        log.add(record(second))
        log.flush(now=NOW + timedelta(seconds=second))
    assert not list(tmp_path.glob("*.parquet"))

    log.flush(now=NOW + timedelta(minutes=11))

    (file,) = tmp_path.glob("*.parquet")
    assert pl.read_parquet(file)["age"].to_list() == [0, 1, 2, 3, 4]
    assert not list((tmp_path / RECENT).glob("*/*"))
    log.close(now=NOW)
    assert not list((tmp_path / RECENT).iterdir())


def test_what_a_killed_server_left_is_put_together_by_the_next_one(tmp_path):
    killed = open_log(tmp_path / "of the killed")
    for number in range(3):
        killed.add(record(number))
        killed.flush(now=NOW)
    shutil.copytree(tmp_path / "of the killed", tmp_path / "log")  # the copy's lock is held by nobody
    wanted = list_ids(tmp_path / "log")

    recover(tmp_path / "log")

    assert len(wanted) == 3
    assert list_ids(tmp_path / "log") == wanted
    assert len(list((tmp_path / "log").glob("*.parquet"))) == 1
    killed.close(now=NOW)


def test_a_server_that_lives_is_left_alone(tmp_path):
    first = open_log(tmp_path)
    first.add(record(1))
    first.flush(now=NOW)

    second = open_log(tmp_path)
    second.add(record(2))
    second.close(now=NOW)
    first.add(record(3))
    first.close(now=NOW)

    assert sorted(int(name[:24], 16) for name in list_ids(tmp_path)) == [1, 2, 3]


def test_a_crash_between_the_joined_file_and_its_parts_makes_no_duplicates(tmp_path):
    log = open_log(tmp_path)
    log.add(record(1))
    log.flush(now=NOW)
    shutil.copytree(tmp_path / RECENT, tmp_path / "parts")
    log.close(now=NOW)
    shutil.rmtree(tmp_path / RECENT)
    (tmp_path / "parts").rename(tmp_path / RECENT)

    assert len(list_ids(tmp_path)) == 1
    recover(tmp_path)
    assert len(list_ids(tmp_path)) == 1
    assert not list((tmp_path / RECENT).glob("*/*"))


def test_a_share_of_the_requests_is_recorded(tmp_path):
    log = open_log(tmp_path, share=0.25)
    draw = random.Random(0)  # noqa: S311 - for test data
    ids = [draw.randbytes(12).hex() for _ in range(4_000)]

    assert 0.2 < sum(map(log.wants, ids)) / len(ids) < 0.3
    log.close(now=NOW)


def test_a_disk_that_refuses_loses_and_counts_but_keeps_nothing(tmp_path):
    log = open_log(tmp_path)
    shutil.rmtree(tmp_path / RECENT)
    (tmp_path / RECENT).write_text("in the way")
    log.add(record(1))

    with pytest.raises(OSError, match=RECENT):
        log.flush(now=NOW)

    assert log.num_failed == 1
    log.flush(now=NOW)
    assert log.num_failed == 1


def test_no_log_is_told(tmp_path):
    with pytest.raises(TreadleError, match="no predictions"):
        scan_log(tmp_path)
