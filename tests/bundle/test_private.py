"""What is private stays so, by whatever way it comes into the examples."""

from treadle.bundle.private import list_private
from treadle.experiment.spec import Data

STR, MOMENT, PRIVATE = {"dtype": "str"}, {"dtype": "datetime"}, {"dtype": "str", "private": True}


def test_copies_of_private_columns_are_private_and_what_is_computed_from_them_is_not():
    people = {
        "path": "people.csv",
        "columns": {"person": STR, "mail": PRIVATE, "town": STR},
        "derive": {"contact": "mail", "length": "LENGTH(mail)"},
    }
    join = {
        "table": "people",
        "by": {"person": "person"},
        "columns": {"whom": "contact", "long": "length", "mail": "town"},
    }
    orders = {
        "path": "orders.csv",
        "columns": {"person": STR, "at": MOMENT, "late": {"dtype": "bool"}, "street": PRIVATE},
        "joins": {"people": join},
        "derive": {"whom_again": "whom", "address": '"street"'},
    }
    calls = {
        "path": "calls.csv",
        "columns": {"person": STR, "at": MOMENT, "number": PRIVATE},
        "known_at": "at",
    }
    look = {
        "table": "calls",
        "by": {"person": "person"},
        "within": "1d",
        "columns": {"phone": "number", "called": "at"},
    }
    data = Data.model_validate(
        {
            "task": "binary",
            "tables": {"orders": orders, "people": people, "calls": calls},
            "examples": {
                "table": "orders",
                "predict_at": "at",
                "known": ["person"],
                "asof": {"call": look},
                "label": "late",
            },
            "split": {"by": "time", "valid_from": "2024-03-01", "test_from": "2024-04-01", "gap": "1d"},
        }
    )

    assert list_private(data) == {"street", "whom", "whom_again", "address", "phone"}
