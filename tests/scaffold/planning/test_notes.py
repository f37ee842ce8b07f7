"""What a look at the table cannot decide is noted: weights, counts, long tails."""

import numpy as np
import polars as pl
import pytest

from plans import plan, roles
from treadle.errors import TreadleError
from treadle.scaffold.planning.notes import measure_tail

GENERATOR = np.random.default_rng(0)
NUM_ROWS = 300
X = GENERATOR.normal(size=NUM_ROWS).round(3)
Z = GENERATOR.normal(size=NUM_ROWS).round(3)
WEIGHT = GENERATOR.uniform(0.5, 2, NUM_ROWS).round(3)


@pytest.mark.parametrize("name", ["weight", "sample_weight", "instance_weight", "SampleWeight", "fnlwgt"])
def test_a_feature_that_is_called_a_weight_is_reported(tmp_path, name):
    made = plan(tmp_path, {name: WEIGHT, "x": X, "y": X + WEIGHT})

    (note,) = made.notes
    assert f"start over with --weight {name!r}" in note


@pytest.mark.parametrize("name", ["height", "weighted_by", "weight_of_x_kg", "curb_weight", "BirthWeight"])
def test_others_are_not(tmp_path, name):
    assert not plan(tmp_path, {name: WEIGHT, "x": X, "y": X + WEIGHT}).notes


def test_a_weight_is_taken_and_is_no_feature(tmp_path):
    made = plan(tmp_path, {"weight": WEIGHT, "x": X, "y": Z}, weight="weight")

    assert made.weight == "weight_"
    assert roles(made)["weight_"] == "out"
    assert not made.notes


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (-WEIGHT, "a weight is at least 0"),
        (0 * WEIGHT, "a weight is at least 0"),
        ([None, *WEIGHT[1:]], "is missing in 1 row;"),
        (["many"] * NUM_ROWS, "is of type str"),
    ],
    ids=["negative", "zero", "missing", "text"],
)
def test_what_can_be_no_weight_is_refused(tmp_path, values, told):
    with pytest.raises(TreadleError, match=f"--weight: 'w' .*{told}"):
        plan(tmp_path, {"w": values, "x": X, "y": X}, weight="w")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (np.exp(1.5 * X), 'LN("y")'),
        (np.exp(1.5 * X) * (X > 0), 'LN("y" + 1)'),
        (X**5, "loss=huber"),
    ],
    ids=["positive", "from 0", "both ways"],
)
def test_a_heavy_tail_is_reported(tmp_path, target, told):
    (note,) = plan(tmp_path, {"x": X, "y": target.round(6)}).notes

    assert note.startswith("the target has a heavy tail: 1% of the rows hold")
    assert told in note


@pytest.mark.parametrize(
    "target", [Z, np.abs(Z), GENERATOR.integers(0, 2, NUM_ROWS), GENERATOR.gamma(2, size=NUM_ROWS)]
)
def test_other_targets_have_none(tmp_path, target):
    assert not plan(tmp_path, {"x": X, "y": target}).notes


def test_the_tail_of_a_known_distribution():
    normal = pl.Series(np.random.default_rng(0).normal(size=200_000))

    assert measure_tail(normal) == pytest.approx(0.0845, abs=0.003)  # 2 (x pdf + tail) at the quantile of .995
    assert measure_tail(pl.Series([3.0] * 10)) == 0


def test_a_count_is_offered_its_loss(tmp_path):
    made = plan(tmp_path, {"x": X, "visits": GENERATOR.poisson(9, NUM_ROWS)}, target="visits")

    assert any("--task count" in note for note in made.notes) == (min(made.target_profiles[0].low, 2) < 2)


def test_counts_may_be_written_as_fractions_but_not_be_some(tmp_path):
    visits = GENERATOR.poisson(10_000, NUM_ROWS).astype(float)
    columns = {"x": X, "visits": [None, *visits[1:]]}

    assert plan(tmp_path, columns, target="visits", task="count").target.task == "count"
    with pytest.raises(TreadleError, match="'visits' is written with fractions"):
        plan(tmp_path, {**columns, "visits": visits + 0.5}, target="visits", task="count")
