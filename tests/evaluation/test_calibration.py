"""The part `calibration`: error, terms of the Brier score, curve and bands."""

import numpy as np
import pytest
import torch

from treadle.check.resolve import resolve
from treadle.evaluation.calibration import judge_probabilities
from treadle.evaluation.comparison import make_resampling
from treadle.evaluation.intervals import resample
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.scores import Scoring
from treadle.metrics.compute import compute_metrics
from treadle.pages.render import render_page

ROWS = 6000


@pytest.fixture(scope="module")
def experiment(root):
    return resolve(overrides=["experiment=adult", "model=linear"], root=root).experiment


def draw(seed=0):
    """Chances, and what happens by them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=ROWS) * 1.5
    return logits, (generator.random(ROWS) < squash(logits)).astype(np.int64)


def squash(logits):
    return 1 / (1 + np.exp(-logits))


def judge(chances, target, experiment, *, blocks=None, classes=()):
    blocks = blocks or Blocks.of_rows(len(target))
    return judge_probabilities(chances, target=target, classes=classes, blocks=blocks, experiment=experiment)


def test_the_terms_add_up_to_the_brier_score_and_the_error_is_the_metric(experiment):
    logits, target = draw()
    chances = squash(2 * logits)

    found = judge(chances, target, experiment).whole

    metrics = compute_metrics(
        task="binary",
        prediction=torch.from_numpy(chances),
        target=torch.from_numpy(target),
        threshold=0.5,
        num_bins=experiment.evaluation.calibration_bins,
    )
    terms = {name: term.value for name, term in found.terms.items()}
    brier = terms["reliability"] - terms["resolution"] + terms["uncertainty"] + terms["remainder"]
    assert brier == pytest.approx(metrics["brier"], abs=1e-9)
    assert found.error.value == pytest.approx(metrics["calibration_error"], abs=1e-9)
    assert sum(point.rows for point in found.points) == ROWS


@pytest.mark.parametrize("rows", [200, 1000, ROWS])
def test_intervals_of_gaps_hold_their_values(experiment, rows):
    logits, target = draw()
    chances, blocks = squash(logits)[:rows], Blocks.of_rows(rows)

    found = judge(chances, target[:rows], experiment).whole
    samples = resample(
        {"model": chances},
        target=target[:rows],
        blocks=blocks,
        scoring=Scoring("binary", threshold=0.5, num_bins=experiment.evaluation.calibration_bins),
        resampling=make_resampling(experiment),
        metrics=["calibration_error"],
    )
    estimate = samples["model"].estimate("calibration_error", coverage=0.95)

    for one in (found.error, *found.terms.values(), estimate):
        assert one.low < one.value < one.high
    assert min(found.error.low, found.terms["reliability"].low, estimate.low) >= 0


def test_of_few_rows_a_resample_may_hold_none(experiment):
    logits, target = draw()

    found = judge(squash(logits[:6]), target[:6], experiment).whole

    assert np.isfinite(found.error.value)  # and no warning, each of which is an error here


def test_true_chances_stay_within_their_bands_and_exaggerated_ones_leave_them(experiment):
    logits, target = draw(seed=1)

    true, sharp = (judge(squash(scale * logits), target, experiment).whole for scale in (1, 3))

    assert (true.strayed, sharp.strayed) == (pytest.approx(0, abs=2), pytest.approx(len(sharp.points), abs=3))
    assert true.terms["reliability"].value < 0.001
    assert sharp.terms["reliability"].low > 0.02
    assert true.terms["resolution"].value == pytest.approx(sharp.terms["resolution"].value, abs=1e-3)


def test_bands_by_day_are_wider_than_by_row_where_days_differ(experiment):
    generator = np.random.default_rng(1)
    days = np.repeat(np.arange(30), ROWS // 30)
    logits = generator.normal(size=ROWS)
    target = (generator.random(ROWS) < squash(logits + generator.normal(size=30)[days])).astype(np.int64)

    by_row, by_day = (
        judge(squash(logits), target, experiment, blocks=blocks).whole.points[7].observed
        for blocks in (Blocks.of_rows(ROWS), Blocks.of(days, unit="day"))
    )

    assert by_day.high - by_day.low > 1.5 * (by_row.high - by_row.low)


def test_groups_of_independent_rows_give_the_interval_of_the_rows(experiment):
    logits, target = draw()
    found = judge(squash(logits), target, experiment).whole.points[7]

    spread = np.sqrt(found.observed.value * (1 - found.observed.value) / found.rows)

    assert found.observed.high - found.observed.low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_of_several_classes_the_predicted_one_and_each_against_the_rest(experiment):
    logits, _ = draw()
    shares = np.stack([0 * logits, logits, -logits], axis=1)
    shares = np.exp(shares) / np.exp(shares).sum(axis=1, keepdims=True)
    target = (shares.cumsum(axis=1) < np.random.default_rng(2).random((ROWS, 1))).sum(axis=1)

    found = judge(shares, target, experiment, classes=["a", "b", "c"])

    numbers = found.to_numbers()
    assert list(found.errors) == ["a", "b", "c"]
    assert max(numbers["error"], numbers["class_error"]) < 0.03
    exaggerated = judge(shares**3 / (shares**3).sum(axis=1, keepdims=True), target, experiment, classes=["a", "b", "c"])
    assert exaggerated.to_numbers()["class_error"] > 0.05


def test_one_probability_for_all_rows_is_one_bin(experiment):
    _, target = draw()

    found = judge(np.full(ROWS, target.mean()), target, experiment).whole

    assert (len(found.points), found.terms["resolution"].value) == (1, pytest.approx(0, abs=1e-12))


def test_the_section_of_the_report_names_its_numbers(experiment):
    logits, target = draw()

    page = render_page("parts/calibration.html.jinja", found=judge(squash(logits), target, experiment))

    assert "<h2>Calibration</h2>" in page
    assert "<svg" in page
    assert "of 15 points leave the diagonal" in page


@pytest.mark.parametrize("rows", [120, 1200], ids=["single rows", "pooled rows"])
def test_several_labels_are_judged_together_and_each(experiment, rows):
    generator = np.random.default_rng(7)
    chances = generator.random((rows, 2))
    target = (generator.random((rows, 2)) < chances * [1.0, 0.5]).astype(np.float64)

    found = judge(chances, target, experiment, classes=["right", "too sure"])

    assert found.errors["right"].value < 0.12
    assert found.errors["too sure"].value == pytest.approx(0.25, abs=0.06)
    assert sum(point.rows for point in found.whole.points) == 2 * rows
    assert found.whole.terms["reliability"].low <= found.whole.terms["reliability"].value
