"""All columns of the flights, and all weeks of the reference."""

import polars as pl
import pytest

from faults import SEASONAL, measure_all
from runs import treadle
from treadle.monitoring.charts import Charts
from treadle.profiles.blocks import Blocking
from treadle.profiles.calendar import find_calendar
from treadle.profiles.cells import fit_cells
from treadle.profiles.profile import BLOCK, HOUR, count_rows
from treadle.profiles.reference import Performance, Reference
from treadle.schema import LABEL, PREDICT_AT, ROW


@pytest.fixture
def rows(project):
    assert treadle("prepare", "experiment=flights_linear", "tracker=disabled") == 0
    (file,) = project.glob("runs/*/examples/train.parquet")
    return Blocking("week", 0).name_log(pl.scan_parquet(file), time=PREDICT_AT)


@pytest.mark.exhaustive
def test_every_fault_is_found_in_every_quiet_week_and_at_most_two_weeks_alarm_without_one(rows):
    schema = rows.collect_schema()
    names = [name for name in schema if name not in (LABEL, ROW, BLOCK, HOUR) and not schema[name].is_temporal()]
    calendar = find_calendar(rows, names, time=PREDICT_AT)
    columns = tuple(fit_cells(rows, name, bins=20, top=30) for name in names if name not in calendar)
    profile = count_rows(rows, columns, num_paired=len(columns))
    performance = Performance({}, 0.5, None, None, {})
    reference = Reference("binary", Blocking("week", 0), columns, {}, len(columns), profile, performance)

    plain = measure_all(rows, reference, season=False)
    seasonal = measure_all(rows, reference, season=True)

    assert calendar == ["month", "day", "utc_offset"]
    assert len(Charts(reference, false_alarms=0.05, season=False).own_strengths) == 35
    for measured in (plain, seasonal):
        assert measured.false <= 2
        for name, found in measured.found.items():
            if measured is seasonal or name not in {fault.name for fault in SEASONAL}:
                assert (name, found.alarmed) == (name, found.weeks)
                assert found.named >= 0.9 * found.weeks
    assert plain.found["temp in Celsius"].alarmed < 20
    assert plain.found["times in local time"].alarmed == 0
