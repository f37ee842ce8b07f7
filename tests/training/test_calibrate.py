"""Calibrations that are fitted on the validation split: planted distortions are mended, true chances left alone."""

import numpy as np
import pytest

from treadle.training.calibrate import make_folds
from treadle.training.calibrators import apply, choose, cross_fit, fit_isotonic, fit_temperature

ROWS = 4000


def squash(logits):
    return 1 / (1 + np.exp(-logits))


def soften(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def draw(*, seed=0, rows=ROWS, num_classes=0):
    """True logits, and what happens by them."""
    generator = np.random.default_rng(seed)
    if not num_classes:
        logits = generator.normal(size=rows) * 1.5 - 1
        return logits, (generator.random(rows) < squash(logits)).astype(np.int64)
    logits = generator.normal(size=(rows, num_classes)) * 1.5
    return logits, (soften(logits).cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)


def measure_gap(chances, target):
    """The mean gap in ten bins of equally many rows."""
    parts = np.array_split(np.argsort(chances), 10)
    return np.mean([abs(chances[part].mean() - target[part].mean()) for part in parts])


def test_temperature_finds_the_scale_and_the_shift_of_two_classes():
    logits, target = draw(rows=40_000)

    found = fit_temperature(squash(3 * logits + 1), target)

    assert (found.slope, found.intercept) == (pytest.approx(1 / 3, rel=0.05), pytest.approx(-1 / 3, abs=0.05))


def test_temperature_finds_the_scale_of_several_classes():
    logits, target = draw(num_classes=4)

    assert fit_temperature(soften(2.5 * logits), target).slope == pytest.approx(1 / 2.5, rel=0.1)


@pytest.mark.parametrize("target", [np.arange(100) >= 50, np.arange(100) < 50], ids=["separated", "upside down"])
def test_temperature_is_finite_and_keeps_the_order_whatever_the_classes_are(target):
    chances = np.linspace(0.01, 0.99, 100)

    calibrated = apply(fit_temperature(chances, target.astype(np.int64)), chances)

    assert np.isfinite(calibrated).all()
    assert (np.diff(calibrated) > 0).all()


@pytest.mark.parametrize("distort", [np.sqrt, np.square, lambda p: 0.3 + 0.2 * p], ids=["root", "square", "narrow"])
def test_isotonic_mends_any_rising_distortion(distort):
    (logits, target), (asked, truth) = draw(), draw(seed=1)

    found = fit_isotonic(distort(squash(logits)), target)

    chances = distort(squash(asked))
    mended = apply(found, chances)
    assert measure_gap(mended, truth) < 0.03 < measure_gap(chances, truth)
    assert 0 < mended.min() < mended.max() < 1


def test_isotonic_is_the_least_squares_fit_of_scikit_learn_but_for_its_ends():
    from sklearn.isotonic import IsotonicRegression

    chances = np.repeat(np.arange(1, 21) / 21, 20)  # as many bins as values
    target = (np.random.default_rng(0).random(400) < chances**2).astype(np.int64)

    ours = apply(fit_isotonic(chances, target), chances)

    theirs = IsotonicRegression().fit_transform(chances, target)
    for level in np.unique(theirs[(theirs > 0) & (theirs < 1)]):
        assert ours[theirs == level].mean() == pytest.approx(level, abs=0.03)


def test_isotonic_of_several_classes_adds_up_to_one():
    logits, target = draw(num_classes=3)
    chances = soften(3 * logits)

    mended = apply(fit_isotonic(chances, target), chances)

    assert mended.sum(axis=1) == pytest.approx(np.ones(ROWS))
    assert max(measure_gap(mended[:, k], target == k) for k in range(3)) < 0.03


@pytest.mark.parametrize("num_classes", [0, 3])
def test_auto_mends_what_is_exaggerated(num_classes):
    logits, target = draw(num_classes=num_classes)
    chances = soften(3 * logits) if num_classes else squash(3 * logits)

    losses = cross_fit(chances, target, folds=make_folds(np.arange(ROWS), keeps_order=False))

    assert choose(losses, blocks=np.arange(ROWS)) == "temperature"


def test_auto_leaves_true_chances_alone_nearly_always():
    chosen = []
    for seed in range(20):
        logits, target = draw(seed=seed, rows=1000)
        losses = cross_fit(squash(logits), target, folds=make_folds(np.arange(1000), keeps_order=False))
        chosen.append(choose(losses, blocks=np.arange(1000)))

    assert chosen.count("none") >= 16


def test_a_gain_on_one_day_is_no_gain():
    days = np.repeat(np.arange(10), 100)
    losses = {"none": np.ones(1000), "temperature": np.where(days == 3, 0.5, 1.001)}

    assert choose(losses, blocks=np.arange(1000)) == "temperature"
    assert choose(losses, blocks=days) == "none"


@pytest.mark.parametrize("keeps_order", [True, False])
def test_folds_keep_blocks_whole(keeps_order):
    blocks = np.random.default_rng(0).integers(23, size=500)

    folds = make_folds(blocks, keeps_order=keeps_order)

    assert set(folds) == set(range(5))
    assert all(len(set(folds[blocks == block])) == 1 for block in range(23))
    by_block = [folds[blocks == block][0] for block in range(23)]
    assert (by_block == sorted(by_block)) == keeps_order
