"""Which rows of a file have a label already, however it is written, and which columns a person fills in."""

import polars as pl
import pytest

from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.labelling.own_labels import LabelColumns


def make(label, *, columns=None, others=None, **table):
    """Label columns of a table with the column `a` and others."""
    columns = {"a": {"dtype": "int"}, **(columns or {"late": {"dtype": "bool", "nullable": True}})}
    data = {
        "task": "binary",
        "tables": {"rows": {"path": "rows.csv", "columns": columns, **table}, **(others or {})},
        "examples": {"table": "rows", "known": ["a"], "label": label},
        "split": {"by": "random", "valid": 0.2, "test": 0.2, "seed": 0},
    }
    return LabelColumns.of(Data.model_validate(data))


@pytest.mark.parametrize(
    ("label", "options", "values", "expected"),
    [
        ("late", {}, ["yes", None, "", "no"], [1, 2]),
        (
            "income = '>50K'",
            {"columns": {"income": {"dtype": "str", "missing": ["?"]}}},
            [">50K", "?", " ? ", "x"],
            [1, 2],
        ),
        ("spent > 9", {"columns": {"spent": {"dtype": "float", "missing": ["-1"]}}}, [1.0, -1.0, float("nan")], [1, 2]),
        (
            "CASE WHEN state = 'gone' THEN 1 ELSE 0 END",
            {"columns": {"state": {"dtype": "str"}}},
            ["gone", None, "in"],
            [1],
        ),
        ("is_late", {"columns": {"delay": {"dtype": "int"}}, "derive": {"is_late": "delay > a"}}, ["9", "", "0"], [1]),
    ],
    ids=["a column", "a text with a mark", "a number with a mark", "an expression that is never null", "derived"],
)
def test_a_row_is_open_where_its_label_is_missing(label, options, values, expected):
    columns = make(label, **options)
    (name,) = columns.to_fill
    rows = pl.DataFrame({"a": range(len(values)), name: values})

    found = columns.find_open(rows)

    assert found["a"].to_list() == expected
    assert found[name].null_count() == len(expected)  # a mark is no hint to somebody who fills in


def test_a_column_may_stand_under_the_name_that_it_has_in_files():
    columns = make("late", columns={"late": {"dtype": "bool", "source": "Arrived late"}})
    rows = pl.DataFrame({"a": [0, 1], "Arrived late": ["yes", ""]})

    assert columns.name_given(rows) == {"late": "Arrived late"}
    assert columns.find_open(rows)["a"].to_list() == [1]


def test_what_an_example_knows_is_not_filled_in():
    columns = make("price > a", columns={"price": {"dtype": "float"}})

    assert list(columns.to_fill) == ["price"]
    assert len(columns.find_open(pl.DataFrame({"a": [1, 2]}))) == 2


def test_a_row_is_labelled_once_its_label_is_known_though_a_column_is_empty():
    columns = make("won OR drawn", columns={name: {"dtype": "bool"} for name in ("won", "drawn")})
    rows = pl.DataFrame({"a": [0, 1, 2], "won": [True, False, None], "drawn": [None, None, None]})

    assert columns.find_open(rows)["a"].to_list() == [1, 2]


@pytest.mark.parametrize(("label", "said"), [("late", None), ("CASE WHEN late THEN TRUE ELSE FALSE END", False)])
def test_it_is_said_what_a_row_counts_as_that_stays_empty(label, said):
    assert make(label).label_nothing() is said


def test_a_label_of_another_table_cannot_be_filled_in():
    other = {"path": "other.csv", "columns": {"a": {"dtype": "int", "unique": True}, "late": {"dtype": "bool"}}}
    join = {"table": "other", "by": {"a": "a"}, "columns": {"late": "late"}}

    with pytest.raises(TreadleError, match=r"comes from the table 'other' by a join.* write the labels into 'other'"):
        make("late", columns={"b": {"dtype": "int"}}, joins={"answer": join}, others={"other": other})
