"""Bounds and allowed values of a configuration, in the types of their columns."""

# ruff: noqa: DTZ001 - moments are in UTC, without a zone

from datetime import date, datetime, time

import pytest

from treadle.data.bounds import read_bound, read_value
from treadle.experiment.spec import Column

SOUND = [
    ("int", 3, 3),
    ("int", -(2**63), -(2**63)),
    ("float", 3, 3.0),
    ("float", 1e-5, 1e-5),
    ("bool", False, False),
    ("str", "010", "010"),
    ("str", "", ""),
    ("date", "2013-09-01", date(2013, 9, 1)),
    ("datetime", "2013-09-01", datetime(2013, 9, 1)),
    ("time", "13:45", time(13, 45)),
    ("datetime", "2013-09-01T02:00+02:00", datetime(2013, 9, 1)),
    ("datetime", "2013-09-01 13:45:00Z", datetime(2013, 9, 1, 13, 45)),
]
BROKEN = [
    *(("int", value) for value in (True, 1.0, "1", "x", 2**63, -(2**63) - 1)),
    *(("float", value) for value in (True, "1", float("nan"), float("inf"), 10**400)),
    *(("bool", value) for value in (1, 0, "true", 1.0)),
    *(("str", value) for value in (8, 750, False, 1.5)),
    *(("date", value) for value in (2013, 20130901, "soon", "2013-02-30", "2013-09-01T00:00", True)),
    *(("time", value) for value in ("soon", "25:00", "13:45+02:00", "13:45Z", 13)),
    *(("datetime", value) for value in (2013, "soon", "2013-13-01", "0001-01-01T00:00+23:00", 1.5)),
]


@pytest.mark.parametrize(("dtype", "written", "expected"), SOUND)
def test_a_value_of_the_type_is_read(dtype, written, expected):
    read = read_value(written, Column.model_validate({"dtype": dtype}))

    assert read == expected
    assert type(read) is type(expected)


@pytest.mark.parametrize(("dtype", "written"), BROKEN)
def test_a_value_of_another_type_is_refused(dtype, written):
    with pytest.raises(ValueError, match=r"^must be "):
        read_value(written, Column.model_validate({"dtype": dtype}))


def test_a_bound_of_whole_numbers_may_have_a_fraction():
    assert read_bound(2.5, Column.model_validate({"dtype": "int"})) == 2.5
