"""An expression as a Python function gives what Polars gives, to the last bit, or leaves the row to Polars."""

import math
import random
import struct
from fractions import Fraction

import polars as pl
import pytest
from polars.exceptions import PolarsError

from treadle.serving.expressions import UnknownError, compile_expression
from treadle.serving.scalars import round_decimal
from treadle.sql.translate import to_expr

SCHEMA = {
    "a": pl.Int64(),
    "b": pl.Int64(),
    "x": pl.Float64(),
    "y": pl.Float64(),
    "s": pl.String(),
    "r": pl.String(),
    "t": pl.Datetime("us"),
    "f": pl.Boolean(),
}
PLACES = {name: place for place, name in enumerate(SCHEMA)}
EXPRESSIONS = """
    a + b; a - b; a * b; a / b; a // b; a % b; MOD(a, 7); -a; 2013 - a; (a + 1) * (b - 2) / 3; a / 3; a / 0; 1 / a
    a + x; x + y; x - y; x * y; x / y; x % y; MOD(x, 7); MOD(a, y); -x; x / 3; x / 0.1; x / 0
    2.5 / x; x * 0.5 + a; x - 0.1
    a < b; x <= y; x = y; x <> y; a > x; a = x; a = 1.5; x > 0.5; s < r; s = r; f = (a > 0); t < t
    s IS NULL; x IS NOT NULL; a > 0 AND x > 0; a > 0 OR x > 0 OR f; NOT f; NOT (a > b); a IS NULL OR b > 3
    a BETWEEN 0 AND b; x BETWEEN a AND y; a IN (0, 1, 7); x IN (0, 1); s IN ('a', 'b'); a NOT IN (1, 2)
    CASE WHEN a > b THEN 1 ELSE 0 END; CASE WHEN x > 0 THEN a ELSE x END; CASE WHEN a > 1 THEN 0.5 ELSE x END
    CASE s WHEN 'a' THEN 1 WHEN 'b' THEN 2 END; CASE WHEN f THEN s END; IF(a > 0, x, y); NULLIF(a, b); NULLIF(x, 0)
    CAST(a AS DOUBLE); CAST(x AS BIGINT); CAST(f AS BIGINT); s || '-' || r; CAST(a AS VARCHAR) || s; LENGTH(s) - 3
    EXTRACT(HOUR FROM t); EXTRACT(DOW FROM t + a * INTERVAL '1 hour'); EXTRACT(YEAR FROM t - INTERVAL '3 days')
    EXTRACT(MONTH FROM t); EXTRACT(DAY FROM t); EXTRACT(DOY FROM t); EXTRACT(ISODOW FROM t); EXTRACT(WEEK FROM t)
    EXTRACT(QUARTER FROM t); EXTRACT(MINUTE FROM t); EXTRACT(SECOND FROM t); DATE_PART('hour', t)
    SQRT(x); EXP(x); LN(x); LOG10(x); LOG(x); SIN(x); COS(x); TAN(x); POWER(x, 2); POWER(a, b); TRUNC(x)
    EXP(LN(x) * 0.3); ABS(a); ABS(x); FLOOR(x); CEIL(x); FLOOR(a / 100); ROUND(x); ROUND(x, 2); ROUND(a / 7, 1); SIGN(x)
    a * 1.5; a + 0.5; 0.1 - a; (a * 1.5) / 3; x + a * 1.5; CAST(a * 0.25 AS DOUBLE); (a + 0.5) * b; -(a * 1.5)
    EXTRACT(MINUTE FROM t + x * INTERVAL '1 minute'); EXTRACT(HOUR FROM t + ROUND(x) * INTERVAL '90 seconds')
    EXTRACT(SECOND FROM t + (t - (t - INTERVAL '1 hour')) * x)
    LOWER(s); UPPER(s); COALESCE(a, b, 0); COALESCE(x, a); IFNULL(a, 0); GREATEST(a, b); LEAST(x, y)
"""
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 2.5, 1e300, -1e300, 7.0, 100.25)
INTEGERS = (0, 1, -1, 7, -7, 2**62, -(2**63), 2**63 - 1, 2**53 + 1)
TEXTS = ("a", "b", "A-b", "zz", "ä", "😀x", "")


def make_rows(count):
    draw = random.Random(0)  # noqa: S311 - for test data

    def make_number():
        return draw.choice(
            [draw.choice(NUMBERS), draw.gauss(0, 1), draw.gauss(0, 1e3), float(draw.randint(-9, 9)), None]
        )

    def make_integer():
        return draw.choice([draw.choice(INTEGERS), draw.randint(-9, 9), draw.randint(-2_000, 2_000), None])

    def make_row():
        moment = draw.choice([None, draw.randint(-2 * 10**15, 4 * 10**15), draw.randint(0, 2 * 10**15)])
        texts = (draw.choice([*TEXTS, None]) for _ in range(2))
        numbers = (make_integer(), make_integer(), make_number(), make_number())
        return *numbers, *texts, moment, draw.choice([None, True, False])

    return [make_row() for _ in range(count)]


ROWS = make_rows(400)
FRAME = pl.DataFrame(ROWS, schema={**SCHEMA, "t": pl.Int64()}, orient="row").cast({"t": pl.Datetime("us")})


def run_polars(text, frame):
    values = frame.select(to_expr(text, lambda: SCHEMA).alias("value")).to_series()
    return (values.cast(pl.Float64) if values.dtype.is_decimal() else values).to_list()


def to_bits(value):
    """Distinguishes the signs of zero, and makes NaN equal to itself."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return type(value) is bool, value


@pytest.mark.parametrize("text", [text.strip() for text in EXPRESSIONS.replace("\n", ";").split(";") if text.strip()])
def test_a_function_gives_what_polars_gives(text):
    function = compile_expression(text, SCHEMA, PLACES)
    found = {}
    for place, row in enumerate(ROWS):
        try:
            value = function(row)
            found[place] = round_decimal(value) if isinstance(value, Fraction) else value
        except (ArithmeticError, ValueError):
            continue  # left to Polars

    try:
        wanted = run_polars(text, FRAME)
    except PolarsError:  # of a row that Python leaves to it
        wanted = dict(zip(found, run_polars(text, FRAME[list(found)]), strict=True))

    assert len(found) > len(ROWS) / 3
    assert {place: to_bits(value) for place, value in found.items()} == {p: to_bits(wanted[p]) for p in found}


@pytest.mark.parametrize(
    "text",
    ["SUBSTR(s, 1, 2)", "s LIKE 'a%'", "CAST(x AS VARCHAR)", "REGEXP_LIKE(s, 'a')"],
)
def test_what_is_not_known_is_named(text):
    with pytest.raises(UnknownError, match=r" in | as |^values|^CAST"):
        compile_expression(text, SCHEMA, PLACES)
