"""What a text, a number or a moment becomes in its declared type, and what is refused as lost."""

# ruff: noqa: DTZ001 - moments are in UTC, without a zone

import warnings
from datetime import date, datetime, time
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.casting import cast_cells, lost_mark
from treadle.data.datetime_formats import HEAD, reads_back
from treadle.experiment.spec import Column

LOST = object()


def read(values, column, dtype=pl.String):
    """Each value in the declared type, or LOST."""
    rows = pl.DataFrame({"x": pl.Series(values, dtype=dtype)})
    cells = cast_cells(rows.lazy(), {"x": Column.model_validate(column)}, schema=rows.schema).collect()
    return [LOST if lost else value for value, lost in zip(cells["x"], cells[lost_mark("x")], strict=True)]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"dtype": "int"}, {"1": 1, " -2 ": -2, "": None, "  ": None, "1.0": LOST, "x": LOST, "1,000": LOST}),
        ({"dtype": "float"}, {"1e3": 1000.0, ".5": 0.5, "NaN": None, "nan": None, "1,5": LOST, "n/a": LOST}),
        ({"dtype": "float", "missing": ["?", " N/A "]}, {"?": None, " ?": None, "N/A": None, "n/a": LOST}),
        ({"dtype": "int", "thousands": ","}, {"1,234": 1234, "-1,234,567": -1234567, "12": 12, "1,5": LOST}),
        ({"dtype": "int", "thousands": ","}, {"12,34,567": 1234567, "1,23": LOST, ",123": LOST, "1,,234": LOST}),
        ({"dtype": "float", "thousands": ","}, {"1,234.5": 1234.5, "1,234.5,6": LOST, "1.5": 1.5}),
        ({"dtype": "float", "decimal": ","}, {"1,5": 1.5, "1.5": LOST, "1,5,6": LOST, "2": 2.0}),
        ({"dtype": "float", "decimal": ",", "thousands": "."}, {"1.234,5": 1234.5, "1.5": LOST, "1.234": 1234.0}),
        ({"dtype": "float", "thousands": "'"}, {"1'234.5": 1234.5, "1\u2019234": 1234.0}),
        ({"dtype": "int", "thousands": " "}, {"1 234": 1234, "1\u00a0234": 1234, "1\u2009234": 1234}),
        ({"dtype": "int", "thousands": "\u202f"}, {"1 234 567": 1234567, "1 2": LOST}),
        ({"dtype": "float", "prefix": ["$", "US$"]}, {"$1.5": 1.5, "-$ 2": -2.0, "$-2": -2.0, "US$3": 3.0, "4": 4.0}),
        ({"dtype": "float", "prefix": ["$"]}, {"€5": LOST, "5$": LOST, "-$-5": LOST, "$": LOST}),
        ({"dtype": "float", "suffix": ["%"]}, {"12 %": 12.0, "12%": 12.0, "-3\u00a0%": -3.0, "12": 12.0, "%": LOST}),
        ({"dtype": "int", "suffix": ["m", "m²"]}, {"5 m²": 5, "5m": 5, "5 mm": LOST}),
        (
            {"dtype": "float", "prefix": ["$"], "thousands": ",", "negative": "parentheses"},
            {"($1,234.50)": -1234.5, "$(5)": -5.0, "(5)": -5.0, "$5": 5.0, "-(5)": LOST, "(-5)": LOST, "(5": LOST},
        ),
        ({"dtype": "int", "suffix": ["%"], "negative": "parentheses"}, {"(12%)": -12, "(12)%": -12, "( 12 )": -12}),
        ({"dtype": "float", "negative": "trailing"}, {"5-": -5.0, "5 -": -5.0, "-5": -5.0, "-5-": LOST, "5": 5.0}),
        ({"dtype": "int", "negative": "dash"}, {"\u22125": -5, "\u20135": -5, "-5": -5}),
        (
            {"dtype": "float", "prefix": ["€"], "powers": {"K": 3, "M": 6, "Mn": 6}},
            {"€110.5M": 110_500_000.0, "€565K": 565_000.0, "€0": 0.0, "2 Mn": 2e6, "1.001K": 1001.0},
        ),
        ({"dtype": "int", "powers": {"k": 3}}, {"1.5k": 1500, "2": 2, "1.2345k": LOST}),
        (
            {"dtype": "int", "powers": {"k": 3}},
            {"9007199254740993": 2**53 + 1, "9007199254740.993k": 2**53 + 1, "9007199254740993k": 1000 * (2**53 + 1)},
        ),
        ({"dtype": "int", "powers": {"k": 3, "n": -9}}, {"-5k": -5000, "5.k": 5000, "2000000000n": 2, "2n": LOST}),
        (
            {"dtype": "float", "suffix": ["€"], "thousands": " ", "decimal": ","},
            {"1 234,50 €": 1234.5, "5\u00a0€": 5.0},
        ),
        ({"dtype": "float", "prefix": ["CHF"], "thousands": "'"}, {"CHF 1'234.50": 1234.5}),
        ({"dtype": "float"}, {"inf": None, "-Infinity": None}),
        ({"dtype": "float", "missing": ["-999"]}, {"-999.0": None, "-999": None, "-9.99e2": None, "-998": -998.0}),
        ({"dtype": "int", "missing": ["-999.0", "?"]}, {"-999": None, "?": None, "5": 5}),
        ({"dtype": "str", "spellings": ["Yes"]}, {"YES": "Yes", " yes ": "Yes", "no": "no", "NO": "NO"}),
        ({"dtype": "bool"}, {"TRUE": True, "f": False, "Yes": True, "n": False, "0": False, "": None, "2": LOST}),
        ({"dtype": "str", "missing": ["?"]}, {"a": "a", " a ": "a", "?": None, " ? ": None, "": None, "-": "-"}),
        ({"dtype": "date"}, {"2021-02-03": date(2021, 2, 3), "3/2/2021": LOST, "21-02-03": LOST, "2021-02-30": LOST}),
        ({"dtype": "date", "format": "%d.%m.%y"}, {"3.2.21": date(2021, 2, 3), "2021": LOST}),
        ({"dtype": "date", "format": "%d/%m/%Y %H:%M"}, {"03/02/2021 10:30": date(2021, 2, 3)}),
        ({"dtype": "date", "format": "%Y Q%q"}, {"2021 Q2": date(2021, 4, 1), "2021 Q5": LOST, "2021Q2": LOST}),
        ({"dtype": "date", "format": "Q%q/%Y"}, {"Q4/2021": date(2021, 10, 1)}),
        ({"dtype": "date", "format": "%Y"}, {"2021": date(2021, 1, 1), "x": LOST}),
        ({"dtype": "date", "format": "%B %Y"}, {"april 2021": date(2021, 4, 1), "Apr 2021": date(2021, 4, 1)}),
        ({"dtype": "date", "format": "%Y-%m"}, {"2021-04": date(2021, 4, 1)}),
        ({"dtype": "date", "format": "%-m/%Y"}, {"4/2021": date(2021, 4, 1), "12/2021": date(2021, 12, 1)}),
        ({"dtype": "date", "format": "%-d.%-m.%Y"}, {"3.2.2021": date(2021, 2, 3), "2.2021": LOST}),
        ({"dtype": "date", "format": "%G-W%V-%u"}, {"2021-W10-3": date(2021, 3, 10), "2021-W10": LOST}),
        ({"dtype": "date", "format": "%Y-%U-%w"}, {"2021-10-3": date(2021, 3, 10)}),
        ({"dtype": "datetime", "format": "%a %d %b %Y %H:%M"}, {"Wed 10 Mar 2021 09:05": datetime(2021, 3, 10, 9, 5)}),
        ({"dtype": "datetime", "format": "%Y"}, {"2021": datetime(2021, 1, 1)}),
        ({"dtype": "datetime", "epoch": "s"}, {"1617742860": datetime(2021, 4, 6, 21, 1), "1e30": LOST, "x": LOST}),
        ({"dtype": "datetime", "epoch": "ms"}, {"1617742860500": datetime(2021, 4, 6, 21, 1, 0, 500_000)}),
        ({"dtype": "time"}, {"21:01:00": time(21, 1), "9:05": time(9, 5), "21:01:00.5": time(21, 1, 0, 500_000)}),
        ({"dtype": "time"}, {"24:00": LOST, "9": LOST, "9:60": LOST, "": None}),
        ({"dtype": "time", "format": "%I:%M %p"}, {"9:05 PM": time(21, 5), "09:05am": time(9, 5), "21:05": LOST}),
    ],
)  # fmt: skip
def test_a_text_becomes_its_type_or_is_lost(column, expected):
    assert read(list(expected), column) == list(expected.values())


@pytest.mark.parametrize("texts", [[], [None], ["x", "y"], ["", None]])
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_moments_may_be_none_at_all(texts, engine):
    rows = pl.DataFrame({"x": pl.Series(texts, dtype=pl.String)})
    column = Column.model_validate({"dtype": "datetime"})

    cells = cast_cells(rows.lazy(), {"x": column}, schema=rows.schema).collect(engine=engine)

    assert cells["x"].to_list() == [None] * len(texts)
    assert cells["x"].dtype == pl.Datetime("us")


@pytest.mark.parametrize("name", ["x", "text"])
def test_a_long_column_of_few_moments_is_read_like_a_short_one(name):
    texts = ["2013-01-01T10:00:00Z", " 2013-01-02 ", None, "", "noon", "2013-01-03 11:30", "2013-01-04T10:00:00+01:00"]
    column = Column.model_validate({"dtype": "datetime"})

    short, long = (
        cast_cells(rows.lazy(), {name: column}, schema=rows.schema).collect()
        for rows in (pl.DataFrame({name: texts * times}) for times in (1, HEAD))
    )

    assert short.columns == long.columns
    assert long.rows() == short.rows() * HEAD
    assert short[name][0] == datetime(2013, 1, 1, 10)


def test_a_column_may_mix_the_shapes_of_moments():
    texts = ["2021-02-03T04:05:06Z", None, "2021-02-03 04:05", "x", "2021-02-03", "2021-02-03T04:05:06.5+01:00"]

    assert read(texts, {"dtype": "datetime"}) == [
        datetime(2021, 2, 3, 4, 5, 6),
        None,
        datetime(2021, 2, 3, 4, 5),
        LOST,
        datetime(2021, 2, 3),
        datetime(2021, 2, 3, 3, 5, 6, 500_000),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "2021-02-03": datetime(2021, 2, 3),
        "2021-02-03 04:05": datetime(2021, 2, 3, 4, 5),
        "2021-02-03T04:05:06": datetime(2021, 2, 3, 4, 5, 6),
        " 2021-02-03T04:05:06.5 ": datetime(2021, 2, 3, 4, 5, 6, 500_000),
        "2021-02-03T04:05:06Z": datetime(2021, 2, 3, 4, 5, 6),
        "2021-02-03 04:05:06+02:00": datetime(2021, 2, 3, 2, 5, 6),
        "2021-02-03T04:05-0130": datetime(2021, 2, 3, 5, 35),
        "2021-02-03T04:05:06+02": datetime(2021, 2, 3, 2, 5, 6),
        "2021-02-03 04:05:06 UTC": datetime(2021, 2, 3, 4, 5, 6),
        "2021-02-03 04:05 GMT": datetime(2021, 2, 3, 4, 5),
        "2021-02-03 04:05:06.5 +0200": datetime(2021, 2, 3, 2, 5, 6, 500_000),
        "2021-02-03T25:00": LOST,
        "3 Feb 2021": LOST,
    }.items(),
)
def test_a_moment_without_a_format_is_iso_8601_in_utc(text, expected):
    assert read([text], {"dtype": "datetime"}) == [expected]


def test_a_moment_of_a_format_may_carry_its_offset():
    column = {"dtype": "datetime", "format": "%d/%m/%Y %H:%M %z"}

    assert read(["03/02/2021 10:30 +0200", "2021-02-03"], column) == [datetime(2021, 2, 3, 8, 30), LOST]


def test_values_that_have_a_type_keep_their_meaning():
    assert read([1.0, 2.5, float("nan"), None], {"dtype": "int"}, pl.Float64) == [1, LOST, None, None]
    assert read([1, None], {"dtype": "str"}, pl.Int64) == ["1", None]
    assert read([0, 1, 2, None], {"dtype": "bool"}, pl.Int8) == [False, True, LOST, None]
    assert read([0.0, 1.0, 0.5, float("nan")], {"dtype": "bool"}, pl.Float64) == [False, True, LOST, None]
    assert read([True, None], {"dtype": "bool", "missing": ["-1"]}, pl.Boolean) == [True, None]
    assert read([Decimal("2.5"), Decimal(2)], {"dtype": "int"}, pl.Decimal(10, 2)) == [LOST, 2]
    assert read(["a", "?"], {"dtype": "str", "missing": ["?"]}, pl.Categorical) == ["a", None]
    assert read([float("inf"), 1.5], {"dtype": "float"}, pl.Float64) == [None, 1.5]
    assert read([1617742860], {"dtype": "datetime", "epoch": "s"}, pl.Int64) == [datetime(2021, 4, 6, 21, 1)]
    assert read([20210406.0, 0.5], {"dtype": "date", "format": "%Y%m%d"}, pl.Float64) == [date(2021, 4, 6), LOST]
    assert read([1617742860], {"dtype": "datetime"}, pl.Int64) == [LOST]
    assert read([5883.43], {"dtype": "float", "prefix": ["$"], "powers": {"k": 3}}, pl.Float64) == [5883.43]


def test_a_mark_of_a_missing_number_holds_for_texts_and_numbers_alike():
    column = {"dtype": "int", "missing": ["-999", "?"]}

    assert read(["-999", "?", "5"], column) == [None, None, 5]
    assert read([-999, 5], column, pl.Int64) == [None, 5]
    assert read([-999.0, 5.0], column, pl.Float64) == [None, 5]
    assert read([-999.0, 5.0], {**column, "dtype": "str"}, pl.Float64) == [None, "5"]


@pytest.mark.parametrize("mark", ["-1", "-1.0", "-1e0"])
@pytest.mark.parametrize("dtype", [pl.Int8, pl.Int64, pl.Int128, pl.Float32, pl.Float64, pl.Decimal(10, 2)])
def test_a_mark_is_the_number_of_a_typed_file_whatever_both_are_written_as(dtype, mark):
    missing = {"missing": [mark, "?", "0.001"]}

    assert read([0, 1, -1, 2], {"dtype": "bool", **missing}, dtype) == [False, True, None, LOST]
    assert read([0, 1, -1, 2], {"dtype": "str", **missing}, dtype) == ["0", "1", None, "2"]
    assert read([0, 1, -1, 2], {"dtype": "int", **missing}, dtype) == [0, 1, None, 2]
    assert read([0, 1, -1, 2], {"dtype": "float", **missing}, dtype) == [0.0, 1.0, None, 2.0]
    assert read([1, -1], {"dtype": "datetime", "epoch": "s", **missing}, dtype) == [datetime(1970, 1, 1, 0, 0, 1), None]
    assert read([-1], {"dtype": "date", "format": "%Y", **missing}, dtype) == [None]


def test_a_mark_stands_for_itself_alone():
    assert read([2, 3], {"dtype": "int", "missing": ["2.5", "300"]}, pl.Int8) == [2, 3]
    assert read([200, 2**64 - 1], {"dtype": "float", "missing": ["-1", "200"]}, pl.UInt64) == [None, 2.0**64]
    assert read([0.1], {"dtype": "float", "missing": ["0.1"]}, pl.Float32) == [None]
    assert read(["2"], {"dtype": "int", "missing": ["2.5"]}) == [2]
    assert read([-1000], {"dtype": "int", "thousands": ",", "missing": ["-1,000"]}, pl.Int64) == [None]


def test_a_mark_of_a_missing_number_costs_no_warning():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(["-999", "5"], {"dtype": "int", "missing": ["-999"]})
        read([-999, 5], {"dtype": "int", "missing": ["-999"]}, pl.Int64)

    assert caught == []


@given(st.integers(-(2**53), 2**53), st.sampled_from([",", ".", "'", " ", "\u00a0", "\u2009", "\u202f"]))
def test_a_number_written_with_any_mark_comes_back(number, mark):
    text = f"{number:,}".replace(",", mark)

    assert read([text], {"dtype": "int", "thousands": mark}) == [number]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_written_with_a_decimal_comma_comes_back(number):
    assert read([repr(number).replace(".", ",")], {"dtype": "float", "decimal": ","}) == [number]


@pytest.mark.slow
@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9999, 12, 31)))
def test_every_moment_that_python_writes_comes_back(moment):
    assert read([moment.isoformat(), str(moment)], {"dtype": "datetime"}) == [moment, moment]


@pytest.mark.parametrize(
    "text",
    [
        "%Y-%m-%d",
        "%d.%m.%y",
        "%Y%m%d",
        "%d %B %Y",
        "%Y",
        "%m/%Y",
        "%d/%m/%y %I:%M %p",
        "%+",
        "%-d.%-m.%Y",
        "%-m/%Y",
        "%G-W%V-%u",
        "%Y-%U-%w",
        "%Y-%W-%a",
        "%A, %e %B %Y",
        "%Y %j",
        "%d%%%m%%%Y",
    ],
)
def test_a_format_that_holds_the_date_is_valid(text):
    assert reads_back(Column(dtype="datetime", format=text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%",
        "day",
        "%H:%M",
        "%d/%m",
        "%d/%q",
        "%Y-%m-%d %Z",
        "%I:%M",
        "%G-W%V",
        "%Y-%U",
        "%Y-%W",
        "%Y-W%V-%u",
        "%a %m/%Y",
        "%Y-%m %H:%M",
        "%-d/%Y",
    ],
)
def test_a_format_that_does_not_is_refused(text):
    assert not reads_back(Column(dtype="datetime", format=text))


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([3, None], pl.Int32, ["3", None]),
        ([3.0, None, 2.5, float("inf"), 1e300], pl.Float64, ["3", None, LOST, LOST, LOST]),
        ([True, None], pl.Boolean, [LOST, None]),
        ([date(2020, 1, 1)], pl.Date, [LOST]),
    ],
)
def test_a_text_is_a_whole_number_or_nothing_where_it_comes_as_another_type(values, dtype, expected):
    assert read(values, {"dtype": "str"}, dtype) == expected
