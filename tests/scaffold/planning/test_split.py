"""A split by time, of rows that do not all have a moment."""

import numpy as np
import pytest

from plans import plan
from treadle.errors import TreadleError

GENERATOR = np.random.default_rng(0)
NUM_ROWS = 120


def make(num_missing):
    days = [f"{2019 + index % 5}-0{1 + index % 9}-11" for index in range(NUM_ROWS)]
    days[:num_missing] = [None] * num_missing
    return {"when": days, "x": GENERATOR.normal(size=NUM_ROWS).round(2), "y": GENERATOR.choice(["a", "b"], NUM_ROWS)}


@pytest.mark.parametrize("asked", [{}, {"group": "x"}])
def test_rows_without_a_moment_are_left_out_and_counted(tmp_path, asked):
    made = plan(tmp_path, make(6), time="when", **asked)

    assert made.target.exclude == (("undated", '"when" IS NULL', "6 rows have no time"),)
    assert made.split["by"] == ("group_kfold" if asked else "time_series")


def test_a_moment_that_many_rows_lack_is_refused(tmp_path):
    told = r"--time: 'when' is missing in 7 of 120 rows, more than the 5% that may be left out"

    with pytest.raises(TreadleError, match=told):
        plan(tmp_path, make(7), time="when")


def test_few_rows_are_in_folds_of_which_each_could_validate(tmp_path):
    made = plan(tmp_path, make(0))

    assert made.split == {
        "by": "stratified_kfold",
        "column": "label",
        "folds": 5,
        "repeats": 1,
        "fold": 0,
        "test": 0.2,
        "seed": 0,
    }
    assert "a sweep over data.split.fold=range(5) on each in turn" in made.split_reason


def test_of_few_rows_with_a_moment_the_last_fold_validates(tmp_path):
    made = plan(tmp_path, make(0), time="when")

    assert (made.split["by"], made.split["fold"], made.split["folds"]) == ("time_series", 4, 5)


def test_groups_that_are_too_few_for_folds_are_split_once(tmp_path):
    groups = {"shop": list("abcd" * 30)}

    assert plan(tmp_path, make(0) | groups, group="shop").split["by"] == "group"
    assert plan(tmp_path, make(0) | {"shop": list(range(40)) * 3}, group="shop").split["by"] == "group_kfold"


def test_many_rows_have_one_validation_set(tmp_path):
    rows = {"x": np.arange(5_000) % 50, "y": GENERATOR.choice(["a", "b"], 5_000)}

    assert plan(tmp_path, rows).split["by"] == "stratified"
