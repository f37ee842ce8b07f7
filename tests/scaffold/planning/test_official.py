"""Columns that name the split of each row, as people write them."""

import numpy as np
import pytest

from plans import plan, roles

GENERATOR = np.random.default_rng(0)
NUM_ROWS = 240
X = GENERATOR.normal(size=NUM_ROWS).round(2)
Y = GENERATOR.choice(["a", "b"], NUM_ROWS)


def spread(*values):
    """The values in turn."""
    return [values[index % len(values)] for index in range(NUM_ROWS)]


@pytest.mark.fast_cases(3)
@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("set", ["TRAIN", "TEST", "VALIDATION"], (["TRAIN"], ["VALIDATION"], ["TEST"])),
        ("Split", ["Train", "Test"], (["Train"], None, ["Test"])),
        ("fold", ["dev", "training", "hold-out"], (["training"], ["dev"], ["hold-out"])),
        ("partition", ["train", "test", "holdout"], (["train"], ["test"], ["holdout"])),
        ("subset", ["train_set", "test_set"], (["train_set"], None, ["test_set"])),
        ("DataSet", ["tr", "va", "te"], (["tr"], ["va"], ["te"])),
        ("usage", ["train", "valid"], (["train"], None, ["valid"])),
        ("where_it_goes", ["train", "test"], (["train"], None, ["test"])),
        ("is_train", [1, 0, 1], (["1"], None, ["0"])),
        ("isTest", ["true", "false", "false"], (["false"], None, ["true"])),
        ("fold", [0, 1, 2, 3, 4], (["0", "1", "2"], ["3"], ["4"])),
        ("cv_fold", ["fold 2", "fold 1", "fold 3"], (["fold 1"], ["fold 2"], ["fold 3"])),
    ],
)
def test_the_split_that_the_data_names_is_followed(tmp_path, name, values, expected):
    made = plan(tmp_path, {name: spread(*values), "x": X, "y": Y})

    assert made.split["by"] == "column"
    assert (made.split["train"], made.split.get("valid"), made.split["test"]) == expected
    assert ("valid_share" in made.split) == ("valid" not in made.split)
    assert name in made.split_reason
    assert roles(made)[name] == "out"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("set", ["red", "blue", "train"]),
        ("transport", ["train", "bus", "car"]),
        ("test", [0, 1]),
        ("kind", ["tr", "te"]),
        ("phase", [1, 2, 3]),
        ("fold", [10, 20, 30]),
    ],
)
def test_other_columns_are_features(tmp_path, name, values):
    made = plan(tmp_path, {name: spread(*values), "x": X, "y": Y})

    assert made.split["by"] == "stratified_kfold"
    assert roles(made)[name] != "out"


def test_a_split_without_answers_is_reported_and_is_no_feature(tmp_path):
    split = spread("train", "train", "test")
    made = plan(
        tmp_path, {"set": split, "x": X, "y": [a if s == "train" else None for a, s in zip(Y, split, strict=True)]}
    )

    assert made.split["by"] == "stratified_kfold"
    assert roles(made)["set"] == "out"
    assert made.notes == ("'set' assigns rows to splits, but leaves one without rows or answers",)


def test_a_row_that_no_split_takes_is_no_example(tmp_path):
    made = plan(tmp_path, {"set": [None, None, *spread("train", "test")[2:]], "x": X, "y": Y})

    assert made.split["by"] == "column"
    assert made.target.exclude == (("unassigned", '"set" IS NULL', "2 rows name no split"),)


@pytest.mark.parametrize("asked", [{"drop": ("set",)}, {"keep": ("set",)}])
def test_a_column_whose_role_the_user_gives_splits_nothing(tmp_path, asked):
    assert plan(tmp_path, {"set": spread("train", "test"), "x": X, "y": Y}, **asked).split["by"] == "stratified_kfold"
