"""What one column alone tells about the target, against values that can be worked out."""

import numpy as np
import polars as pl
import pytest

from treadle.scaffold.leaks import score, score_column

GENERATOR = np.random.default_rng(0)
TRUTH = pl.Series("truth", GENERATOR.random(20_000) < 0.3)
NOISE = pl.Series("noise", GENERATOR.normal(size=20_000))


def test_noise_tells_nothing():
    assert score_column(NOISE, TRUTH, task="binary") == pytest.approx(0.5, abs=0.02)


def test_a_copy_tells_all():
    assert score_column(TRUTH.cast(pl.String), TRUTH, task="binary") == 1.0


def test_a_number_of_each_row_tells_nothing_to_rows_that_are_new():
    names = pl.Series([f"row {index}" for index in range(20_000)])

    assert score_column(names, TRUTH, task="binary") == pytest.approx(0.5, abs=0.02)


def test_a_value_that_is_not_monotone_is_seen():
    angle = pl.Series(GENERATOR.uniform(-3, 3, 20_000))
    far = angle.abs() > 1.5

    assert score_column(angle, far, task="binary") > 0.98


def test_the_share_of_the_variance_of_a_regression():
    value = pl.Series(GENERATOR.normal(size=20_000))
    target = value + pl.Series(GENERATOR.normal(size=20_000))  # half of the variance

    assert score_column(value, target, task="regression") == pytest.approx(0.5, abs=0.03)


def test_of_three_classes_one_that_is_told_apart_lifts_the_mean():
    classes = pl.Series(GENERATOR.choice(["a", "b", "c"], 20_000))
    is_a = classes == "a"

    assert score_column(is_a, classes, task="multiclass") == pytest.approx((1 + 0.75 + 0.75) / 3, abs=0.02)


def test_gaps_that_tell_the_answer():
    filled = pl.DataFrame({"t": TRUTH, "x": NOISE}).select(pl.when("t").then("x")).to_series()

    found = score(filled, TRUTH, task="binary")

    assert found.gaps == 1.0
    assert found.is_suspect("binary")


def test_gaps_at_random_tell_nothing():
    holes = NOISE.set(pl.Series(GENERATOR.random(20_000) < 0.5), None)

    assert not score(holes, TRUTH, task="binary").is_suspect("binary")
