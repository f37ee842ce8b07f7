"""Every function and operator of SQL means what it means to DuckDB, over random values and at the edges of types."""

# ruff: noqa: DTZ001, S608 - moments are in UTC without a zone, and the statements are the tests' own

import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random

import duckdb
import polars as pl
import pytest

from treadle.data.lazy_frames import derive, narrow_integers
from treadle.sql.expressions import ROW_WISE, ExpressionError, run
from treadle.sql.translate import to_expr

NUM_ROWS = 150
EDGES = {
    "a": [0, 1, -1, 7, -7, 127, 128, 2**31, -(2**31), 2**53 + 1, 3_037_000_500, 2**62, 2**63 - 1, 1 - 2**63, -(2**63)],
    "i": [0, 1, 2, 3, -1, -2, 5, 100],
    "x": [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -0.5, -2.5, 1e300, 1e-300, math.inf, -math.inf, math.nan],
    "w": [0.0, 1.0, -1.0, 0.5, -0.25, 2.0, 10.0, 360.0],
    "s": ["", " ", "abc", "ABC", " Ab c ", "é", "straße", "日本語", "a,b,c", "12", "-7", " 12 ", "x%y", "a_b", "1.5e3"],
    "t": [
        datetime(2024, 2, 29, 23, 59, 59, 999_999),
        datetime(1970, 1, 1),
        datetime(1969, 12, 31, 23, 59, 59, 500_000),
        datetime(1900, 3, 1),
        datetime(2023, 1, 1),
        datetime(2024, 12, 30, 1, 2, 3),
    ],
    "p": [True, False],
}  # fmt: skip
DTYPES = {"a": pl.Int64(), "i": pl.Int64(), "x": pl.Float64(), "w": pl.Float64(), "s": pl.String(), "p": pl.Boolean()}
COLUMNS = {"b": "a", "j": "i", "y": "x", "v": "w", "u": "s", "r": "t", "q": "p"}  # a second column of each kind

SAME = """
    x + y | x - y | x * y | x / y | a / b | a / 0 | -x | a + x | a * 0.5 | i * 1.25 | x % y | MOD(x, y)
    -7 // 2 | -7 % 3
    x > y | x <= y | x = y | x <> y | x IS DISTINCT FROM y | a = x | a > x | x IN (1, 0.5) | x NOT IN (1, 0.5)
    a IN (1, NULL) | a BETWEEN -1 AND 10 | x NOT BETWEEN -1 AND 1 | x IS NULL | x IS NOT NULL | p AND q | p OR q | NOT p
    CASE WHEN x > y THEN 1 WHEN x = y THEN 0 ELSE -1 END | CASE i WHEN 1 THEN 'one' WHEN 2 THEN 'two' END
    ABS(x) | ABS(i) | SIGN(a) | SIGN(w) | SQRT(x) | SQRT(a) | CBRT(x) | EXP(w) | LN(x) | LN(a) | LOG(x) | LOG(a)
    LOG(2, x)
    LOG(w, 100) | LOG2(x) | LOG10(x) | POWER(x, y) | POW(i, j) | POWER(a, 2) | POWER(a, i) | POWER(i, 0.5) | CEIL(x)
    CEILING(x) | FLOOR(x) | FLOOR(a) | ROUND(x) | ROUND(a) | ROUND(w / 3, 2) | ROUND(i / 7, 4) | TRUNC(x)
    SIN(x) | COS(x) | TAN(w) | COT(w) | ASIN(w) | ACOS(w) | ATAN(x) | ATAN2(x, y) | DEGREES(x) | RADIANS(x) | PI()
    GREATEST(a, b) | LEAST(a, b) | GREATEST(w, v) | LEAST(x, y) | GREATEST(s, u) | COALESCE(a, b) | COALESCE(x, 0)
    IFNULL(x, 0) | NULLIF(a, b) | NULLIF(x, y) | IF(p, a, b) | BIT_COUNT(a) | XOR(a, b) | a & b | a | b
    LENGTH(s) | CHAR_LENGTH(s) | CHARACTER_LENGTH(s) | BIT_LENGTH(s) | LENGTH(s) - 5 | 1 - LENGTH(s) | LOWER(s)
    REVERSE(s) | LEFT(s, 2) | LEFT(s, -1) | LEFT(s, i) | RIGHT(s, 2) | RIGHT(s, -1) | RIGHT(s, i) | SUBSTR(s, 2)
    SUBSTR(s, 2, 2) | SUBSTR(s, 0) | SUBSTR(s, 0, 2) | SUBSTR(s, -2) | SUBSTR(s, -2, 1) | SUBSTR(s, i) | SUBSTR(s, i, 2)
    SUBSTRING(s, i, 2) | SUBSTR(s, i + 1) | LEFT(s, i + 1) | TRIM(s) | LTRIM(s) | RTRIM(s)
    LTRIM(s, 'a') | RTRIM(s, 'c')
    LPAD(s, 5, '*') | RPAD(s, 5, '*') | LPAD(s, 2, '*') | REPLACE(s, 'a', 'z') | REPLACE(s, '.', '')
    REPLACE(s, '', 'z')
    STRPOS(s, 'b') | STRPOS(s, u) | STRPOS(s, 'z') - 1 | STARTS_WITH(s, 'a') | ENDS_WITH(s, 'c') | STARTS_WITH(s, u)
    CONCAT(s, u) | CONCAT(s, '-', a) | CONCAT_WS('-', s, u) | s || u | s || 'it''s' | SPLIT_PART(s, ',', 2)
    SPLIT_PART(s, ',', -1) | s ~ '^a' | s LIKE 'a%' | s LIKE 'a_c' | s ILIKE 'A%' | s NOT LIKE 'a%' | s = u | s < u
    s IN ('abc', '12') | STRING_TO_ARRAY(s, ',') | ARRAY_LENGTH(STRING_TO_ARRAY(s, ',')) - 3
    ARRAY_CONTAINS(STRING_TO_ARRAY(s, ','), 'a') | TRY_CAST(s AS DOUBLE) | CAST(a AS VARCHAR) | CAST(w AS BIGINT)
    TRY_CAST(x AS BIGINT) | TRY_CAST(x AS INTEGER) | TRY_CAST(a AS SMALLINT) | CAST(a AS DOUBLE) | CAST(p AS INT)
    CAST(i AS BOOLEAN) | CAST(t AS VARCHAR) | CAST(CAST(t AS DATE) AS VARCHAR) | CAST(p AS VARCHAR)
    EXTRACT(YEAR FROM t) | EXTRACT(QUARTER FROM t) | EXTRACT(MONTH FROM t) | EXTRACT(WEEK FROM t) | EXTRACT(DAY FROM t)
    EXTRACT(DOW FROM t) | EXTRACT(ISODOW FROM t) | EXTRACT(DOY FROM t) | EXTRACT(ISOYEAR FROM t) | EXTRACT(HOUR FROM t)
    EXTRACT(HOUR FROM t) * 60 + EXTRACT(MINUTE FROM t) | EXTRACT(SECOND FROM t) | EXTRACT(MILLISECOND FROM t)
    EXTRACT(EPOCH FROM t) | EXTRACT(EPOCH FROM t) / 86400 | DATE_PART('hour', t) * 100 | DATE_PART('dow', t)
    EXTRACT(YEAR FROM t) * 10000000 | t - r | t > r | t = r | t BETWEEN r AND t | t + INTERVAL '90 minutes'
    t - INTERVAL '1 day' | t + INTERVAL '1 month' | t + i * INTERVAL '1 minute' | t + (i + 1) * INTERVAL '1 minute'
    CAST(t AS DATE) + INTERVAL '36 hours' | DATE '2024-01-02' | DATE('2024-01-02') | TIMESTAMP '2024-01-02 03:04:05'
    t > DATE '2000-01-01' | CAST(CAST(t AS DATE) AS TIMESTAMP) | STRFTIME(t, '%Y-%m %H') | STRFTIME(t, '%A %j')
    STRPTIME('2024-05-06', '%Y-%m-%d') | 0.1 + 0.2 | 1e10
"""
# What DuckDB writes in another way, or refuses where the result fits no integer of its own.
OTHERWISE = {
    "a + b": "a::HUGEINT + b",
    "a - b": "a::HUGEINT - b",
    "a * b": "a::HUGEINT * b",
    "a * a": "a::HUGEINT * a",
    "a * i + b": "a::HUGEINT * i + b",
    "-a": "-(a::HUGEINT)",
    "-(-(-a))": "-(a::HUGEINT)",
    "a * b * 0": "CASE WHEN a + b::HUGEINT IS NOT NULL THEN 0 END",
    "1 - a * -b": "1 + a::HUGEINT * b",
    "ABS(a)": "ABS(a::HUGEINT)",
    "ABS(LENGTH(LOWER(s)) - 10)": "ABS(LENGTH(s) - 10)",
    "a * a * b": "a::DOUBLE * a * b",
    "a * a * a * a": "POWER(a, 4)",
    "a // b": "a // NULLIF(b, 0)",
    "a % b": "a % NULLIF(b, 0)",
    "MOD(a + b, 24)": "(a::HUGEINT + b) % 24",
    "MOD(a * 31, 97) - 1": "(a::HUGEINT * 31) % 97 - 1",
    "DIV(a, b)": "a // NULLIF(b, 0)",
    "(a + b) // i": "CASE WHEN i <> 0 THEN TRUNC((a::HUGEINT + b)::DOUBLE / i) END",
    "CAST(i AS TINYINT) * 100": "i * 100",
    "p - q": "p::INT - q::INT",
    "(x > y) * 5 - 7": "(x > y)::INT * 5 - 7",
    "3000000000 * 4000000000": "12e18",
    "2147483647 + 1": "2147483648",
    "1.5 * a * b": "1.5::DOUBLE * a * b",
    "a * a > b": "a::HUGEINT * a > b",
    "COALESCE(a * a, 0) / 2": "COALESCE(a::HUGEINT * a, 0) / 2",
    "CASE WHEN s = 'LENGTH(' THEN 1 ELSE LENGTH('it''s (') - 10 END": "-4",
    "t + w * INTERVAL '1 minute'": "t + w * INTERVAL '1 minute'",
    "LOG1P(w)": "LN(1 + w)",
    "ACOSD(w)": "DEGREES(ACOS(w))",
    "ASIND(w)": "DEGREES(ASIN(w))",
    "ATAND(w)": "DEGREES(ATAN(w))",
    "ATAN2D(w, v)": "DEGREES(ATAN2(w, v))",
    "COSD(w)": "COS(RADIANS(w))",
    "COTD(w)": "COT(RADIANS(w))",
    "SIND(w)": "SIN(RADIANS(w))",
    "TAND(w)": "TAN(RADIANS(w))",
    "BIT_NOT(a)": "~a",
    "OCTET_LENGTH(s)": "OCTET_LENGTH(ENCODE(s))",
    "INITCAP('ab cd')": "'Ab Cd'",
    "UPPER('abc é')": "'ABC É'",
    "NORMALIZE(s)": "NFC_NORMALIZE(s)",
    "REGEXP_LIKE(s, '^a')": "REGEXP_MATCHES(s, '^a')",
    "s ~* '^A'": "REGEXP_MATCHES(s, '^A', 'i')",
    "s !~ '^a'": "NOT REGEXP_MATCHES(s, '^a')",
    "ARRAY_GET(STRING_TO_ARRAY(s, ','), 1)": "STRING_TO_ARRAY(s, ',')[1]",
    "TIMESTAMP('2024-01-02 03:04:05')": "TIMESTAMP '2024-01-02 03:04:05'",
    "DATETIME('2024-01-02 03:04:05')": "TIMESTAMP '2024-01-02 03:04:05'",
    "TRY_CAST(TRIM(s) AS BIGINT)": "CASE WHEN s NOT LIKE '%.%' THEN TRY_CAST(s AS BIGINT) END",
}  # fmt: skip
CASES = {**{text.strip(): text.strip() for text in re.split(r" \| (?!b)|\n", SAME) if text.strip()}, **OTHERWISE}


def draw(kind, random):
    """A value of a kind: nothing, an edge, or any."""
    if random.random() < 0.1:
        return None
    if random.random() < 0.5:
        return random.choice(EDGES[kind])
    return {
        "a": lambda: random.randint(-(10**6), 10**6),
        "i": lambda: random.randint(-9, 9),
        "x": lambda: random.gauss(0, 100),
        "w": lambda: random.uniform(-1, 1),
        "s": lambda: "".join(random.choices("abcé ,.A", k=random.randrange(6))),
        "t": lambda: datetime(2000, 1, 1) + timedelta(microseconds=random.randrange(10**15)),
        "p": lambda: random.random() < 0.5,
    }[kind]()


@pytest.fixture(scope="module")
def rows():
    random = Random(0)  # noqa: S311 - rows, no secrets
    kinds = {**{name: name for name in EDGES}, **COLUMNS}
    drawn = {
        name: EDGES[kind] + [draw(kind, random) for _ in range(NUM_ROWS - len(EDGES[kind]))]
        for name, kind in kinds.items()
    }
    for name in COLUMNS:
        random.shuffle(drawn[name])
    return pl.DataFrame(drawn, schema={name: DTYPES.get(kind, pl.Datetime("us")) for name, kind in kinds.items()})


@pytest.fixture(scope="module")
def database(rows):
    words = {pl.Int64(): "BIGINT", pl.Float64(): "DOUBLE", pl.String(): "VARCHAR", pl.Boolean(): "BOOLEAN"}
    columns = ", ".join(f"{name} {words.get(dtype, 'TIMESTAMP')}" for name, dtype in rows.schema.items())
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE rows (n INTEGER, {columns})")
        marks = ", ".join("?" * (rows.width + 1))
        connection.executemany(f"INSERT INTO rows VALUES ({marks})", [(n, *row) for n, row in enumerate(rows.rows())])
        yield connection


def is_same(found, wanted):
    if isinstance(wanted, date) and not isinstance(wanted, datetime) and isinstance(found, datetime):
        wanted = datetime(wanted.year, wanted.month, wanted.day)
    if isinstance(found, datetime) and isinstance(wanted, datetime):
        return abs(found - wanted) <= timedelta(microseconds=1)
    if not isinstance(found, int | float | Decimal) or not isinstance(wanted, int | float | Decimal):
        return found == wanted
    if not isinstance(found, bool) and not isinstance(wanted, bool) and not math.isfinite(wanted):
        return str(float(found)) == str(float(wanted))
    return found == wanted or math.isclose(found, wanted, rel_tol=1e-9)


@pytest.mark.parametrize(("text", "theirs"), CASES.items(), ids=CASES)
def test_an_expression_means_what_it_means_to_duckdb(rows, database, text, theirs):
    wanted = [row[0] for row in database.execute(f"SELECT {theirs} FROM rows ORDER BY n").fetchall()]

    found = run(text, rows).to_list()

    found = found * len(rows) if len(found) == 1 else found
    wrong = [(f, w, row) for f, w, row in zip(found, wanted, rows.to_dicts(), strict=True) if not is_same(f, w)]
    assert wrong == []


def test_every_function_is_compared():
    compared = {name.upper() for text in CASES for name in re.findall(r"\b(\w+)\(", text)}

    assert set(ROW_WISE) - compared == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x // y", "`//` and DIV divide integers: for other numbers write FLOOR"),
        ("DIV(x, 2)", "`//` and DIV divide integers"),
        ("REPLACE(s, u, 'z')", "the pattern of REPLACE must be a string"),
        ("ROUND(x, i)", "the number of decimals of ROUND must be a number"),
        ("CAST(s AS BOOLEAN)", "a string is not a boolean"),
        ("ROUND(" * 20 + "x" + ", 3)" * 20, "too large for the engine"),
        ("s + u", "strings are joined with `||`, not with `+`"),
        ("POWER(s, 2)", "does not fit its columns"),
        ("SUBSTRING(s)", "does not fit its columns"),
        ("LENGTH(s", "not an SQL expression"),
    ],
)
def test_what_would_mean_another_thing_is_refused_before_there_is_data(rows, text, told):
    with pytest.raises(ExpressionError, match=re.escape(told)):
        run(text, rows.clear().vstack(pl.DataFrame({name: [None] for name in rows.columns}, schema=rows.schema)))


@pytest.mark.parametrize("text", ["a", "s || u", "x > 3 AND p"])
def test_what_means_the_same_is_left_as_it_is(text):
    assert to_expr(text, dict).meta.eq(pl.sql_expr(text))


def test_derived_integers_are_exact_and_become_floats_only_where_none_holds_them():
    frame = pl.LazyFrame({"a": [3, 2**40 + 1]})
    texts = {"small": "a * 60 + 7", "rest": "MOD(small * 1000003, 1000)", "large": "a * a", "more": "large * 3 - a"}

    found = narrow_integers(derive(frame, texts, key="k")).collect()

    assert dict(found.schema) == {
        "a": pl.Int64(), "small": pl.Int64(), "rest": pl.Int64(), "large": pl.Float64(), "more": pl.Float64()
    }  # fmt: skip
    assert found["rest"].to_list() == [(a * 60 + 7) * 1000003 % 1000 for a in (3, 2**40 + 1)]
    assert found["large"].to_list() == [9.0, float((2**40 + 1) ** 2)]
