"""Conformal intervals and sets: they hold as much as declared, on average over many draws."""

import numpy as np
import pytest

from treadle.errors import TreadleError
from treadle.training.conform import fit_band, fit_sets, fit_span

FITTED, ASKED = 1000, 2000


def draw_values(generator, rows):
    """Errors grow with the prediction, and are skewed."""
    prediction = generator.uniform(0, 10, size=rows)
    return prediction, prediction + (0.2 + 0.2 * prediction) * (generator.exponential(size=rows) - 1)


def draw_classes(generator, rows):
    logits = generator.normal(size=(rows, 3)) * 2 + [2, 0, -1]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares, (shares.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)


def fit(prediction, target, *, coverage, least=None, blocks=None):
    blocks = np.arange(len(target)) if blocks is None else blocks
    return fit_span(prediction, target, blocks=blocks, coverage=coverage, least=least)


@pytest.mark.parametrize("rows", [FITTED, 300], ids=["by size", "too few to be halved"])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_intervals_hold_what_is_declared_and_miss_as_often_below_as_above(rows, coverage):
    generator, found = np.random.default_rng(0), []
    for _ in range(100):
        span = fit(*draw_values(generator, rows), coverage=coverage)
        prediction, target = draw_values(generator, ASKED)
        low, high = span.bound(prediction)
        found.append(((target < low).mean(), (target > high).mean()))

    below, above = np.mean(found, axis=0)
    assert (below, above) == (
        pytest.approx((1 - coverage) / 2, abs=0.006),
        pytest.approx((1 - coverage) / 2, abs=0.006),
    )


def test_intervals_are_as_wide_as_errors_of_their_size_are():
    generator = np.random.default_rng(0)
    span = fit(*draw_values(generator, 4000), coverage=0.9)

    low, high = span.bound(np.array([1.0, 9.0]))

    assert (high - low)[1] / (high - low)[0] == pytest.approx(2.0 / 0.4, rel=0.3)


@pytest.mark.parametrize("factor", [0.5, 2.0], ids=["too narrow", "too wide"])
def test_quantiles_are_moved_until_they_hold_what_is_declared(factor):
    generator, found = np.random.default_rng(0), []

    def draw(rows):
        prediction, target = draw_values(generator, rows)
        spread = factor * (0.2 + 0.2 * prediction)
        return np.stack([prediction - spread, prediction, prediction + spread], axis=1), target

    for _ in range(100):
        band = fit_band(*draw(FITTED), coverage=0.9)
        quantiles, target = draw(ASKED)
        low, high = band.bound(quantiles)
        assert (low <= high).all()
        found.append(((target < low).mean(), (target > high).mean()))

    assert np.mean(found, axis=0) == pytest.approx([0.05, 0.05], abs=0.006)


def test_an_amount_has_no_interval_below_zero():
    prediction, target = draw_values(np.random.default_rng(0), FITTED)

    low, _ = fit(prediction, np.abs(target), coverage=0.9, least=0.0).bound(np.array([0.0, 0.05]))

    assert (low == 0).all()


def test_a_model_without_an_error_has_intervals_without_width():
    values = np.linspace(0, 1, FITTED)

    low, high = fit(values, values, coverage=0.9).bound(values)

    assert (low == values).all()
    assert (high == values).all()


def test_too_few_rows_for_a_coverage_are_told():
    prediction, target = draw_values(np.random.default_rng(0), 100)

    with pytest.raises(TreadleError, match=r"0\.99 takes 199 rows of the validation split, and there are 100"):
        fit(prediction, target, coverage=0.99)


@pytest.mark.parametrize("by_class", [False, True], ids=["of all rows", "of each class"])
def test_sets_hold_what_is_declared(by_class):
    generator, whole, rare = np.random.default_rng(0), [], []
    for _ in range(60):
        sets = fit_sets(*draw_classes(generator, FITTED), coverage=0.9, by_class=by_class)
        shares, target = draw_classes(generator, ASKED)
        chosen = sets.choose(shares)
        held = chosen[np.arange(ASKED), target]
        whole.append(held.mean())
        rare.append(held[target == 2].mean())
        assert chosen.any(axis=1).all()

    assert np.mean(whole) == pytest.approx(0.9, abs=0.025 if by_class else 0.01)
    assert (np.mean(rare) > 0.89) == by_class


def test_a_class_with_too_few_rows_is_in_every_set():
    shares, target = draw_classes(np.random.default_rng(0), FITTED)
    target = np.where(target == 2, 0, target)

    assert fit_sets(shares, target, coverage=0.9, by_class=True).thresholds[2] == 0


def test_a_class_that_training_never_saw_enlarges_the_sets():
    shares, target = draw_classes(np.random.default_rng(0), FITTED)
    unseen = np.where(np.arange(FITTED) < 80, -1, target)

    found, known = (fit_sets(shares, t, coverage=0.9, by_class=False).thresholds[0] for t in (unseen, target))

    assert found < known / 2
