"""Spark, on this machine, counts what one process counts."""

import shutil

import numpy as np
import polars as pl
import pytest

from orders import DIGEST, MISTAKE, spoil
from runs import treadle
from treadle.monitoring.counted import count_log, read_counted
from treadle.monitoring.log import open_log
from treadle.profiles.reference import read_reference

pytest.importorskip("pyspark")
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]


def test_spark_counts_what_one_process_counts(made, log, tmp_path):
    for week in range(4):
        spoil(log, week, time=pl.col("time").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    spoil(log, 0, amount=pl.when(pl.int_range(pl.len()) % 7 != 0).then("amount"))
    spoil(log, 1, amount=pl.when(pl.int_range(pl.len()) % 9 != 0).then("amount").otherwise(float("nan")))
    spoil(log, 2, country=pl.lit("Å"), extra=pl.lit(1))
    spoil(log, 3, bundle=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("another")).otherwise("bundle"))
    reference = read_reference(made / "evaluation" / "reference")
    ours = count_log(open_log(log, reference=reference, time=None, digest=DIGEST), reference=reference)
    file = tmp_path / "counts.parquet"

    assert treadle("profile", str(made), "--log", str(log), "-o", str(file), "--spark", "local[2]") == 0

    theirs = read_counted(file, reference=reference, digest=DIGEST)
    assert theirs.profile.blocks == ours.profile.blocks
    assert theirs.profile.rows.tolist() == [200, 200, 200, 180]
    for name in ("rows", "cells", "pairs", "hours"):
        assert np.array_equal(getattr(theirs.profile, name), getattr(ours.profile, name))


def test_a_time_that_is_no_moment_is_refused_by_spark_too(made, log, tmp_path, capfd):
    for week in range(4):
        spoil(log, week, time=pl.lit("yesterday"))

    code = treadle("profile", str(made), "--log", str(log), "-o", str(tmp_path / "no.parquet"), "--spark", "local[1]")

    assert code == MISTAKE
    assert "800 values of 'time' are no moments" in capfd.readouterr().err
    missing = ["--log", str(tmp_path / "none"), "-o", str(tmp_path / "no.parquet"), "--spark", "local[1]"]
    assert treadle("profile", str(made), *missing) == MISTAKE
    assert "--spark cannot count" in capfd.readouterr().err
