"""What one column alone reveals about the target, against values that can be worked out."""

import numpy as np
import polars as pl
import pytest

from treadle.scaffold.planning.leaks import score, score_column

GENERATOR = np.random.default_rng(0)
TRUTH = pl.Series("truth", GENERATOR.random(20_000) < 0.3)
NOISE = pl.Series("noise", GENERATOR.normal(size=20_000))


def test_noise_carries_no_information():
    assert score_column(NOISE, TRUTH, task="binary").value == pytest.approx(0.5, abs=0.02)


def test_a_copy_reveals_all():
    assert score_column(TRUTH.cast(pl.String), TRUTH, task="binary").value == 1.0


def test_a_number_of_each_row_carries_no_information_on_new_rows():
    names = pl.Series([f"row {index}" for index in range(20_000)])

    assert score_column(names, TRUTH, task="binary").value == pytest.approx(0.5, abs=0.02)


def test_a_value_that_is_not_monotone_is_seen():
    angle = pl.Series(GENERATOR.uniform(-3, 3, 20_000))
    far = angle.abs() > 1.5

    assert score_column(angle, far, task="binary").value > 0.98


def test_the_share_of_the_variance_of_a_regression():
    value = pl.Series(GENERATOR.normal(size=20_000))
    target = value + pl.Series(GENERATOR.normal(size=20_000))  # half of the variance

    assert score_column(value, target, task="regression").value == pytest.approx(0.5, abs=0.03)


def test_of_three_classes_one_that_is_distinguished_lifts_the_mean():
    classes = pl.Series(GENERATOR.choice(["a", "b", "c"], 20_000))
    is_a = classes == "a"

    assert score_column(is_a, classes, task="multiclass").value == pytest.approx((1 + 0.75 + 0.75) / 3, abs=0.02)


def test_gaps_that_reveal_the_answer():
    filled = pl.DataFrame({"t": TRUTH, "x": NOISE}).select(pl.when("t").then("x")).to_series()

    found = score(filled, TRUTH, task="binary")

    assert found.gaps.value == 1.0
    assert found.find_suspicion("binary")


def test_gaps_at_random_carry_no_information():
    holes = NOISE.set(pl.Series(GENERATOR.random(20_000) < 0.5), None)

    assert not score(holes, TRUTH, task="binary").find_suspicion("binary")


CLASSES = pl.Series("classes", GENERATOR.choice(list("abcde"), 2_000))
IS_C = CLASSES == "c"
SOME = pl.Series(GENERATOR.random(2_000))


def when_c(of_c, others):
    """One column for class c, another one for the rest."""
    return pl.select(pl.when(IS_C).then(of_c).otherwise(others).alias("told")).to_series()


@pytest.mark.parametrize(
    "values",
    [
        IS_C.cast(pl.Int64),
        IS_C.cast(pl.String),
        when_c(SOME, pl.lit(0.0)),
        when_c(SOME, pl.lit(None)),
        when_c(SOME + 2, SOME),
        when_c(pl.lit("closed"), pl.Series(GENERATOR.choice(["open", "new"], 2_000))),
        when_c((SOME < 0.98).cast(pl.Int64), (SOME > 0.99).cast(pl.Int64)),
    ],
    ids=["flag", "text", "amount", "filled in", "score", "category", "nearly"],
)
def test_a_column_that_reveals_one_class_is_suspect(values):
    suspicion = score(values, CLASSES, task="multiclass").find_suspicion("multiclass")

    assert "the class 'c'" in suspicion


@pytest.mark.parametrize(
    "values",
    [
        SOME,
        when_c(SOME + 0.8, SOME),
        when_c(SOME < 0.8, SOME < 0.2),
        pl.Series(GENERATOR.choice(list("xyz"), 2_000)),
    ],
    ids=["noise", "a measurement", "a symptom", "a category"],
)
def test_one_class_that_is_more_likely_is_not(values):
    assert not score(values, CLASSES, task="multiclass").find_suspicion("multiclass")


def test_a_measurement_that_nearly_sets_a_class_apart_is_worth_a_look():
    found = score(when_c(SOME + 0.95, SOME), CLASSES, task="multiclass")

    assert not found.find_suspicion("multiclass")
    assert found.find_look("multiclass").startswith("look: it alone predicts much of the class 'c', AUC 0.99")
