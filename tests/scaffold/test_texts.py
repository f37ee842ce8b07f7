"""What the texts of a column are."""

import pytest

from treadle.scaffold.texts import MAX_STRAYS, Reading, read_texts


def read(*texts, **asked):
    return read_texts(dict.fromkeys(texts, 1), **asked)


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
        (["1.234.567,8", "5"], Reading("float", {"thousands": ".", "decimal": ","})),
        (["1\u202f234,5"], Reading("float", {"thousands": " ", "decimal": ","})),
        (["2024-05-31"], Reading("date")),
        (["2024-05-31T10:00:00Z", "2024-05-31 10:00"], Reading("datetime")),
        (["31.05.2024"], Reading("date", {"format": "%d.%m.%Y"})),
        (["31/05/2024", "01/02/2024"], Reading("date", {"format": "%d/%m/%Y"})),
        (["May 31, 2024"], Reading("date", {"format": "%b %d, %Y"})),
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


def test_groups_of_three_are_a_fraction_where_semicolons_separate_fields():
    assert read("1,234", "5", decimal_comma=True) == Reading("float", {"decimal": ","})


def test_an_order_of_day_and_month_that_is_open_is_told():
    assert read("01/02/2024", "03/04/2024").reason == "month before day: both fit; for the other order write %d/%m/%Y"


def test_a_few_texts_among_many_numbers_are_missing_values():
    reading = read(*map(str, range(100)), "about 7")

    assert (reading.dtype, reading.missing, reading.reason) == ("int", ["about 7"], "numbers, but for 'about 7'")


def test_many_texts_among_numbers_are_texts():
    strays = [f"x{index}" for index in range(MAX_STRAYS + 1)]

    assert read(*map(str, range(1_000)), *strays).dtype == "str"


def test_a_tenth_of_the_rows_is_too_much_to_be_missing():
    assert read_texts({"1": 89, "abc": 11}).dtype == "str"
