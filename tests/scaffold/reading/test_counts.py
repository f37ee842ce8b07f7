"""Whole numbers that are to be predicted: counts and other quantities, or classes."""

import numpy as np
import pytest

from plans import plan

GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.normal(size=400).round(2)


def repeat(rows):
    """Each value as often as its own number, in no order."""
    return GENERATOR.permutation(np.repeat(list(rows), list(rows.values())))


COUNTS = {
    "poisson": {0: 177, 1: 110, 2: 60, 3: 25, 4: 12, 5: 10, 6: 2, 7: 2, 11: 1, 12: 1},
    "its mode is above 0": {0: 54, 1: 108, 2: 108, 3: 72, 4: 36, 5: 14, 6: 5, 7: 3},
    "accidents": {0: 350, 1: 45, 2: 4, 3: 1},
    "zeros beside a hump": {0: 200, 1: 10, 2: 30, 3: 60, 4: 45, 5: 30, 6: 15, 7: 6, 8: 3, 10: 1},
    "up to 40": {0: 90, 1: 80, 2: 60, 3: 50, 4: 40, 5: 30, 6: 20, 7: 12, 8: 8, 9: 4, 11: 2, 12: 1, 19: 1, 25: 1, 40: 1},
    "one of them far away": {0: 200, 1: 110, 2: 50, 3: 25, 4: 9, 5: 4, 6: 1, 99: 1},
    "points that a jury gives": {3: 4, 4: 33, 5: 150, 6: 140, 7: 55, 8: 13, 9: 5},
}
CLASSES = {
    "digits": dict.fromkeys(range(10), 40),
    "ratings": {1: 20, 2: 30, 3: 50, 4: 100, 5: 200},
    "codes with a rare one": {0: 150, 1: 20, 2: 6, 3: 124, 4: 100},
    "codes far apart": {10: 200, 21: 100, 40: 80, 310: 17, 4000: 3},
    "three classes": {0: 200, 1: 150, 2: 50},
}


@pytest.mark.parametrize("rows", COUNTS.values(), ids=COUNTS)
def test_a_count_is_predicted_as_a_number_and_loses_no_row(tmp_path, rows):
    made = plan(tmp_path, {"x": NOISE, "y": repeat(rows)})

    assert made.target.task == "regression"
    assert not made.target.exclude
    assert "for classes give --task multiclass" in made.target.reason


def test_a_count_of_few_rows(tmp_path):
    made = plan(tmp_path, {"x": NOISE[:60], "y": np.random.default_rng(0).poisson(8, 60)})

    assert made.target.task == "regression"


@pytest.mark.parametrize("rows", CLASSES.values(), ids=CLASSES)
def test_codes_and_ratings_are_classes(tmp_path, rows):
    assert plan(tmp_path, {"x": NOISE, "y": repeat(rows)}).target.task == "multiclass"


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("num_doors", "regression"),
        ("n_children", "regression"),
        ("visitCount", "regression"),
        ("item_count", "regression"),
        ("number_of_calls", "regression"),
        ("education-num", "multiclass"),
        ("num_class", "multiclass"),
        ("grade", "multiclass"),
    ],
)
def test_a_name_may_mean_a_count(tmp_path, name, task):
    rows = repeat({0: 100, 1: 150, 2: 100, 3: 50})

    assert plan(tmp_path, {"x": NOISE, name: rows}, target=name).target.task == task


def test_a_count_with_gaps_in_a_column_of_numbers_with_points(tmp_path):
    values = repeat(COUNTS["poisson"]).astype(float)

    assert plan(tmp_path, {"x": NOISE, "y": values}).target.task == "regression"


def test_classes_are_taken_where_they_are_asked_for(tmp_path):
    made = plan(tmp_path, {"x": NOISE, "y": repeat(COUNTS["poisson"])}, task="multiclass")

    assert [reason for reason, _, _ in made.target.exclude] == ["rare"]


def test_amounts_with_marks_between_their_digits_are_no_classes(tmp_path):
    made = plan(tmp_path, {"x": NOISE, "y": [f"{100_000 * (1 + index % 5):,}" for index in range(400)]})

    assert made.target.task == "regression"
