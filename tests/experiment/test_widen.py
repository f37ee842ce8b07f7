"""Arithmetic over the narrow integers of some SQL functions does not wrap around."""

from datetime import datetime

import polars as pl
import pytest

from treadle.experiment.expressions import ROW_WISE, ExpressionError, run
from treadle.experiment.widen import NARROW, to_expr, widen

ROW = pl.DataFrame({"t": [datetime(2024, 5, 31, 21, 45)], "s": ["abc"], "x": [5], "n": [[1, 2]]})  # noqa: DTZ001 - in UTC


def evaluate(text):
    return ROW.select(to_expr(text).alias("value")).to_series().item()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("EXTRACT(HOUR FROM t) * 60 + EXTRACT(MINUTE FROM t)", 1305),
        ("extract (hour FROM t) * 60", 1260),
        ("DATE_PART('hour', t) * 100", 2100),
        ("LENGTH(s) - 5", -2),
        ("1 - CHAR_LENGTH(s)", -2),
        ("STRPOS(s, 'z') - 1", -1),
        ("ABS(LENGTH(UPPER(s)) - 10)", 7),
        ("CASE WHEN s = 'LENGTH(' THEN 1 ELSE LENGTH('it''s (') - 10 END", -4),
    ],
)
def test_no_number_wraps_around(text, value):
    assert evaluate(text) == value


def test_a_fraction_stays_one():
    assert evaluate("EXTRACT(EPOCH FROM t) / 86400") == pytest.approx(19874.90625)


def test_names_and_texts_are_left_alone():
    text = """my_length(x) + "LENGTH(" || 'EXTRACT(HOUR FROM t)'"""

    assert widen(text) == text


@pytest.mark.parametrize("text", ["LENGTH(s", "s)", "EXTRACT(HOUR FROM"])
def test_what_is_no_expression_is_still_refused(text):
    with pytest.raises(ExpressionError):
        run(text, ROW)


def test_every_narrow_function_is_known():
    assert set(NARROW) - set(ROW_WISE) == {"EXTRACT"}  # a keyword of SQL, not a function's name
