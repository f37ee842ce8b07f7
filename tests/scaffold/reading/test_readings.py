"""Types of a sample, held against every row."""

import polars as pl

from treadle.experiment.spec import Column
from treadle.scaffold.reading.readings import read_columns, report_strays, settle
from treadle.scaffold.reading.texts import Reading


def test_a_number_that_is_no_whole_one_takes_no_other_with_it():
    raw = pl.DataFrame({"a": [*map(str, range(40)), "1.5"]})

    columns, readings = settle(raw, {"a": Column(dtype="int")}, {"a": Reading("int")})

    assert columns["a"].missing == []  # as a whole number 1.5 would be 1
    assert read_columns(raw, columns).collect()["a"].to_list() == [*range(40), None]
    assert report_strays(raw, columns, readings)["a"].reason == "missing where not a number: row 41: '1.5'"


def test_what_is_read_after_all_is_not_reported():
    raw = pl.DataFrame({"a": ["1", "2"]})
    readings = {"a": Reading("int", strays=("2",), options={"unreadable": "missing"})}

    assert report_strays(raw, {"a": Column(dtype="int", unreadable="missing")}, readings) == readings
