"""What a label and a weight may be, in each task and each split."""

import math

import polars as pl
import pytest

from treadle.data.roles import check_roles, check_splits
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.schema import LABEL, ROW, WEIGHT

TABLE = {"path": "t.csv", "columns": {"x": {"dtype": "float"}}}


def make_data(task):
    spec = {"task": task, "tables": {"t": TABLE}, "examples": {"table": "t", "known": ["x"], "label": "x"}}
    return Data.model_validate({**spec, "split": {"by": "random", "valid": 0.2, "test": 0.2, "seed": 0}})


def make_frame(label, weight=None):
    frame = pl.DataFrame({ROW: range(10, 10 + len(label)), LABEL: label})
    return frame if weight is None else frame.with_columns(pl.Series(WEIGHT, weight))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e39])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_a_label_that_is_no_number_is_refused_by_its_row(task, value):
    frame = make_frame([0.0, 1.0, value, 1.0])

    rule = r"^data\.examples\.label: must be a finite number; it is not in 1 row, such as row 12 \("
    with pytest.raises(TreadleError, match=rule):
        check_roles(frame, make_data(task))


def test_a_class_may_be_called_as_one_pleases():
    check_roles(make_frame(["NaN", "inf", "1e999"]), make_data("multiclass"))


def test_a_binary_label_of_another_number_is_refused_by_its_row():
    with pytest.raises(TreadleError, match=r"is true or false, 1 or 0; it is not in 2 rows, such as row 11 \(2\.0\)"):
        check_roles(make_frame([0.0, 2.0, 0.5, 1.0]), make_data("binary"))


@pytest.mark.parametrize(
    ("weight", "rule"),
    [
        (-1.0, "must be a number from 0 on"),
        (math.nan, "must be a number from 0 on"),
        (math.inf, "must be a number from 0 on"),
        (1e-40, "must be 0 or from 1e-30 to 1e+30"),
        (1e40, "must be 0 or from 1e-30 to 1e+30"),
    ],
)
def test_a_weight_that_cannot_count_is_refused_by_its_row(weight, rule):
    with pytest.raises(TreadleError, match=r"data\.examples\.weight: .* such as row 11 ") as refused:
        check_roles(make_frame([0.0, 1.0], [1.0, weight]), make_data("regression"))

    assert rule in str(refused.value)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_of_which_no_row_counts_is_refused(split):
    rows = {name: make_frame([0.0, 1.0], [0.0, 2.0]) for name in ("train", "valid", "test")}
    rows[split] = make_frame([0.0, 1.0], [0.0, 0.0])

    with pytest.raises(TreadleError, match=rf"data\.examples\.weight: the weights of all 2 rows of {split} are 0"):
        check_splits(rows, make_data("regression"))


def test_the_test_split_needs_no_weights():
    rows = {name: make_frame([0.0, 1.0], [1.0, float(name != "test")]) for name in ("train", "valid", "test")}

    check_splits({**rows, "test": make_frame([0.0, 1.0], [0.0, 0.0])}, make_data("regression"))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_split_of_new_classes_alone_is_refused(split):
    rows = {name: make_frame(["a", "b"]) for name in ("train", "valid", "test")}
    check_splits({**rows, split: make_frame(["a", "new"])}, make_data("multiclass"))

    with pytest.raises(TreadleError, match=rf"no row of {split} is of a class that training has; its classes are 'c'"):
        check_splits({**rows, split: make_frame(["c", "c"])}, make_data("multiclass"))
