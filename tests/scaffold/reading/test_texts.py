"""What the texts of a column are."""

import pytest

from treadle.scaffold.reading.texts import MAX_STRAYS, Around, Reading, read_texts


def read(*texts, **around):
    return read_texts(dict.fromkeys(texts, 1), around=Around(**around))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "-2", "+3", "0"], Reading("int")),
        (["1", "2.5", "1e5", ".5", "5."], Reading("float")),
        (["True", "false"], Reading("bool")),
        (["red", "blue"], Reading("str")),
        (["yes", "no"], Reading("str")),
        (["007", "12"], Reading("str")),
        (["12345678901234567890", "1"], Reading("str")),
        (["1", "?", "N/A", "-"], Reading("int", missing=["-", "?", "N/A"])),
        (["red", "?", "None", "-"], Reading("str", missing=["?"])),
        (["1,234", "5"], Reading("int", {"thousands": ","})),
        (["12,34", "5"], Reading("float", {"decimal": ","})),
        (["0,123", "0,456", "1,250"], Reading("float", {"decimal": ","})),
        (["-0,123", *(f"1,{index}" for index in range(200, 250))], Reading("float", {"decimal": ","})),
        (["1.234.567,8", "5"], Reading("float", {"thousands": ".", "decimal": ","})),
        (["1\u202f234,5"], Reading("float", {"thousands": " ", "decimal": ","})),
        (["2024-05-31"], Reading("date")),
        (["2024-05-31T10:00:00Z", "2024-05-31 10:00"], Reading("datetime")),
        (["31.05.2024"], Reading("date", {"format": "%d.%m.%Y"})),
        (["31/05/2024", "01/02/2024"], Reading("date", {"format": "%d/%m/%Y"})),
        (["May 31, 2024"], Reading("date", {"format": "%b %d, %Y"})),
        (["06.04.21", "15.11.22"], Reading("date", {"format": "%d.%m.%y"})),
        (["2021-4-6", "2022-11-15"], Reading("date", {"format": "%Y-%m-%d"})),
        (["April 06, 2021", "may 1, 2021"], Reading("date", {"format": "%B %d, %Y"})),
        (["06Apr2021", "06APR2021"], Reading("date", {"format": "%d%b%Y"})),
        (["2021-04-06 21:01:00 UTC"], Reading("datetime")),
        (["21:01:00", "9:05"], Reading("time")),
        (["9:05 PM", "12:00am"], Reading("time", {"format": "%I:%M %p"})),
        (["2021 Q2", "2022 Q4"], Reading("date", {"format": "%Y Q%q"})),
        (["2021-04", "2021-12"], Reading("date", {"format": "%Y-%m"})),
        (["06/04/2021 21:01 +0200", "13/04/2021 21:01 Z"], Reading("datetime", {"format": "%d/%m/%Y %H:%M %#z"})),
        (["Tue Apr 06 21:01:00 +0000 2021"], Reading("datetime", {"format": "%a %b %d %H:%M:%S %#z %Y"})),
        (["tue, 06 apr 2021 21:01:00 GMT"], Reading("datetime", {"format": "%a, %d %b %Y %H:%M:%S GMT"})),
        (["10-20", "20-30"], Reading("str")),
        (["25:10", "99:59"], Reading("str")),
        (["31/05/24", "01/02/24"], Reading("date", {"format": "%d/%m/%y"})),
        (["31-May-24"], Reading("date", {"format": "%d-%b-%y"})),
        (["1.2.10", "1.12.3"], Reading("str")),
        (["2024-13-01"], Reading("str")),
        ([], Reading("str")),
        (["?", ""], Reading("str", missing=["?"])),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, list) else "",
)
def test_the_narrowest_type_that_holds_all(texts, expected):
    assert read(*texts) == expected


@pytest.mark.parametrize(
    ("texts", "dtype", "options"),
    [
        (["$5,883.43", "$2,640.57"], "float", {"thousands": ",", "prefix": ["$"]}),
        (["R$ 1.234,50", "R$ 5,00"], "float", {"thousands": ".", "decimal": ",", "prefix": ["R$"]}),
        (["CHF 1\u2019234.50", "CHF 5.00"], "float", {"thousands": "'", "prefix": ["CHF"]}),
        (["1 234,50 \u20ac", "5,00\u00a0\u20ac"], "float", {"thousands": " ", "decimal": ",", "suffix": ["\u20ac"]}),
        (["\u20b912,34,567", "\u20b91,000"], "int", {"thousands": ",", "prefix": ["\u20b9"]}),
        (["5 USD", "$7"], "int", {"prefix": ["$"], "suffix": ["USD"]}),
        (["12 %", "5%"], "int", {"suffix": ["%"]}),
        (["(12%)", "5%"], "int", {"suffix": ["%"], "negative": "parentheses"}),
        (["(1,234.50)", "12.00"], "float", {"thousands": ",", "negative": "parentheses"}),
        (["$(5)", "$7"], "int", {"prefix": ["$"], "negative": "parentheses"}),
        (["1,234.50-", "12.00"], "float", {"thousands": ",", "negative": "trailing"}),
        (["\u22125", "3"], "int", {"negative": "dash"}),
        (["5 kg", "7KG"], "int", {"suffix": ["KG", "kg"]}),
        (["36 months", "60 months"], "int", {"suffix": ["months"]}),
        (["5 m\u00b2", "7 m\u00b2"], "int", {"suffix": ["m\u00b2"]}),
        (["5 m", "7 m"], "int", {"suffix": ["m"]}),
        (["1st", "2nd", "5th"], "int", {"suffix": ["nd", "st", "th"]}),
        (["\u20ac110.5M", "\u20ac565K", "\u20ac0"], "float", {"prefix": ["\u20ac"], "powers": {"K": 3, "M": 6}}),
        (["19M", "201k"], "float", {"powers": {"M": 6, "k": 3}}),
        (["5k", "500"], "float", {"powers": {"k": 3}}),
        (["10 YEARS", "1 YEAR", "2 yrs"], "int", {"suffix": ["YEAR", "YEARS", "yrs"]}),
        (["10 hours", "1 hr", "5 h", "3 Hrs"], "int", {"suffix": ["Hrs", "h", "hours", "hr"]}),
        (["3 rooms", "1 room"], "int", {"suffix": ["room", "rooms"]}),
        (["5 lbs", "1 lb"], "int", {"suffix": ["lb", "lbs"]}),
        (["5 kr.", "1 kr"], "int", {"suffix": ["kr", "kr."]}),
        (["5 m2", "7 m2"], "int", {"suffix": ["m2"]}),
        (["10,000+", "500+"], "int", {"thousands": ",", "suffix": ["+"]}),
        (["A12", "A13"], "str", {}),
        (["12A", "14B"], "str", {}),
        (["14", "14a", "15", "15a"], "str", {}),
        (["14", "14 bis", "15", "15 bis"], "str", {}),
        (["user1", "user2"], "str", {}),
        (["$007", "$012"], "str", {}),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, list) else "",
)
def test_what_stands_beside_a_number(texts, dtype, options):
    reading = read(*texts)

    assert (reading.dtype, reading.options) == (dtype, options)


@pytest.mark.parametrize(
    "texts", [["$5", "\u20ac5", "$7", "\u20ac9"], ["5 kg", "7 lb"], ["5 MB", "7 KB"]], ids="/".join
)
def test_several_units_are_texts_and_are_reported(texts):
    reading = read(*texts)

    assert reading.dtype == "str"
    assert reading.reason.startswith("numbers in several units, ")


def test_numbers_with_and_without_a_unit_are_reported():
    assert read("$5", "$7", "12").reason == "some numbers, such as 12, are without '$': read as if they had it"


@pytest.mark.parametrize(
    ("texts", "name", "expected"),
    [
        (["1617742860", "1668550680"], "ts", Reading("datetime", {"epoch": "s"})),
        (["1617742860123", "1668550680000"], "ts", Reading("datetime", {"epoch": "ms"})),
        (["1617742860", "1668550680"], "user_id", Reading("int")),
        (["20210406", "20221115"], "day", Reading("date", {"format": "%Y%m%d"})),
        (["20210406", "20221315"], "day", Reading("int")),
        (["20210406210100"], "at", Reading("datetime", {"format": "%Y%m%d%H%M%S"})),
        (["2021", "2022"], "year", Reading("int")),
        (["202104", "202105"], "month", Reading("int")),
        (["5000000000", "7000000000"], "people", Reading("int")),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, list) else "",
)
def test_digits_that_are_moments(texts, name, expected):
    reading = read(*texts, name=name)

    assert (reading.dtype, reading.options) == (expected.dtype, expected.options)


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (["2021", "2022"], {"format": "%Y"}),
        (["202104", "202105"], {"format": "%Y%m"}),
        (["20210406"], {"format": "%Y%m%d"}),
        (["500000000"], {"epoch": "s"}),
    ],
    ids=["year", "month", "day", "epoch"],
)
def test_digits_are_moments_where_the_user_asks_for_it(texts, options):
    assert read(*texts, use="moment").options == options


def test_the_target_is_no_moment():
    assert read("1617742860", "1668550680", use="target") == Reading("int")


def test_na_is_a_category_among_codes_of_its_kind_and_missing_elsewhere():
    assert read("EU", "AS", "NA", "?").missing == ["?"]
    assert read("EU", "AS", "NA").reason == "NA is a category, as AS, EU are; if it means no value, write missing: [NA]"
    assert read("Y", "N", "NA").missing == ["NA"]
    assert read("1", "2", "NA") == Reading("int", missing=["NA"])


def test_groups_of_three_are_a_fraction_where_semicolons_separate_fields():
    assert read("1,234", "5", has_semicolons=True) == Reading("float", {"decimal": ","})


def test_a_point_stands_between_thousands_where_other_columns_have_decimal_commas():
    reading = read("17.694", "163", has_semicolons=True, has_commas=True)

    assert (reading.dtype, reading.options) == ("int", {"thousands": ".", "decimal": ","})
    assert reading.reason.startswith("a point stands between thousands")
    assert read("17.69", "163", has_semicolons=True, has_commas=True) == Reading("float")
    assert read("17.694", "163", has_semicolons=True) == Reading("float")


def test_an_order_of_day_and_month_that_is_open_is_reported():
    assert read("01/02/2024", "03/04/2024").reason == "month before day: both fit; for the other order write %d/%m/%Y"


def test_a_few_texts_among_many_numbers_are_missing_values():
    reading = read(*map(str, range(100)), "about 7", "n/a")

    assert reading == Reading("int", missing=["about 7", "n/a"], strays=("about 7",))


def test_many_texts_among_still_more_numbers_are_not_named_one_by_one():
    strays = [f"x{index}" for index in range(MAX_STRAYS + 1)]

    reading = read(*map(str, range(1_000)), *strays, "n/a")

    assert reading == Reading("int", {"unreadable": "missing"}, ["n/a"], strays=tuple(sorted(strays)))


def test_a_tenth_of_the_rows_is_too_much_to_be_missing():
    assert read_texts({"1": 89, "abc": 11}).dtype == "str"
