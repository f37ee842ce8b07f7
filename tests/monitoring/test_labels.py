"""Labels that are given to a log by themselves: no model is asked."""

from datetime import datetime

import polars as pl
import pytest

from treadle.errors import TreadleError
from treadle.monitoring.labels import store_labels

NOW = datetime(2024, 1, 1)  # noqa: DTZ001 - in UTC, as a log has it


def give(log, tmp_path, *, by, **columns):
    file = tmp_path / "given.csv"
    pl.DataFrame(columns).write_csv(file)
    return store_labels(file, log=log, by=by, label="late", empty="awaited", now=NOW)


def test_a_log_of_texts_has_the_rows_of_labels_whose_numbers_and_moments_are_written_otherwise(tmp_path):
    log = tmp_path / "log.csv"
    pl.DataFrame({"flight": [1545, 1714], "due": ["2013-09-01T08:00:00Z"] * 2}).write_csv(log)

    stored = give(
        log, tmp_path, by=["flight", "due"], flight=[1545.0, 1141.0], due=["2013-09-01T10:00:00+02:00"] * 2, late=[1, 0]
    )

    assert stored.num_strays == 1


def test_a_log_that_cannot_be_read_takes_no_labels(tmp_path):
    log = tmp_path / "served"
    log.mkdir()
    (log / "20240101.parquet").write_bytes(b"no Parquet at all")

    with pytest.raises(TreadleError, match=r"cannot read .*served: "):
        give(log, tmp_path, by=["id"], id=["a.0"], late=[1])
    assert not (log / "labels").exists()
