"""Drift of inputs, as monitoring would have seen it when a block began."""

from datetime import datetime

import polars as pl
import pytest

from drifting import make_visits, make_visits_project
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.pipeline import run
from treadle.replay.alarms import make_charts, measure_alarmed

SPLIT = "++data.split={by: time, valid_from: '2020-05-01', test_from: '2020-06-01', gap: 1d}"


@pytest.fixture
def prepare(tmp_path):
    """The run, up to its examples, of a table whose x moves with the first of August."""
    make_visits_project(tmp_path)
    moved = pl.when(pl.col("at") >= datetime(2020, 8, 1)).then(pl.col("x") + 2).otherwise("x")  # noqa: DTZ001 - UTC
    make_visits().with_columns(x=moved).write_parquet(tmp_path / "visits.parquet")

    def prepare(*overrides):
        resolved = resolve(overrides=["experiment=visits", SPLIT, *overrides], root=tmp_path)
        return run(resolved, root=tmp_path, upto="prepare", notify=print).folder, resolved.experiment

    return prepare


def test_a_month_that_has_moved_alarms_and_a_calm_one_does_not(prepare):
    folder, experiment = prepare("evaluation.reference.blocks=week", "evaluation.reference.ignore=[id]")
    charts = make_charts(folder, experiment, false_alarms=0.05)
    rows = pl.read_parquet(folder.examples / "test.parquet")

    calm, moved = (measure_alarmed(charts, rows.filter(pl.col("predict_at").dt.month() == month)) for month in (6, 8))

    assert calm <= 0.25
    assert moved == 1.0
    assert measure_alarmed(charts, rows.head(3)) is None


def test_without_monitoring_an_alarm_cannot_be_asked_for(prepare):
    folder, experiment = prepare("evaluation.reference=null")

    with pytest.raises(TreadleError, match=r"evaluation\.reference is null"):
        make_charts(folder, experiment, false_alarms=0.05)
