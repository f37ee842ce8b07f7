"""Intervals by a bootstrap over blocks: the metrics of each resample, what they cover, and pairs of models."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from treadle.evaluation.intervals import MIN_OWN, Resampling, compare, resample
from treadle.evaluation.resampling import Blocks, Draws, draw, find_bounds
from treadle.evaluation.scores import Scoring, compute_losses, make_statistics
from treadle.metrics.compute import compute_metrics

TASKS = ("binary", "multiclass", "multilabel", "regression", "count")
THRESHOLDS = {"multilabel": (0.3, 0.5, 0.7)}
SCORINGS = {task: Scoring(task, threshold=THRESHOLDS.get(task, 0.5), num_bins=15) for task in TASKS}
FEW = Resampling(resamples=20, coverage=0.95, seed=0)


def make_predictions(task, *, rows, seed=0):
    """Rounded, so that some scores are equal; of a multiclass task one class is unknown, and one is never met."""
    generator = np.random.default_rng(seed)
    if task == "multiclass":
        logits = generator.normal(size=(rows, 4))
        logits[:, 3] -= 20
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return shares.astype(np.float32), generator.integers(-1, 3, size=rows)
    if task == "multilabel":
        chances = generator.random((rows, 3)).round(2).astype(np.float32)
        return chances, (generator.random((rows, 3)) < chances).astype(np.float64)
    signal = generator.normal(size=rows)
    if task == "regression":
        return (signal + generator.normal(size=rows)).astype(np.float32), 100 + signal
    if task == "count":
        return np.exp(signal).astype(np.float32), generator.poisson(np.exp(signal)).astype(np.float64)
    chances = (1 / (1 + np.exp(-signal))).round(2).astype(np.float32)
    return chances, (generator.random(rows) < chances).astype(np.float32)


def block_rows(unit, *, rows):
    if unit == "row":
        return Blocks.of_rows(rows)
    return Blocks.of(np.random.default_rng(1).integers({"day": 12, "customer": 300}[unit], size=rows), unit=unit)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("unit", ["row", "day", "customer"])
def test_a_resample_has_the_metrics_of_its_rows(task, unit):
    prediction, target = make_predictions(task, rows=600)
    blocks = block_rows(unit, rows=600)

    found = resample({"model": prediction}, target=target, blocks=blocks, scoring=SCORINGS[task], resampling=FEW)[
        "model"
    ]

    counts = np.concatenate([draws.counts for draws in draw(blocks, resamples=20, seed=0)])
    for index, drawn in enumerate([np.ones(blocks.count, dtype=int), *counts]):
        rows = np.repeat(np.arange(600), drawn[blocks.codes])
        expected = compute_metrics(
            task=task,
            prediction=torch.from_numpy(prediction[rows]),
            target=torch.from_numpy(target[rows]),
            threshold=THRESHOLDS.get(task, 0.5),
            num_bins=15,
        )
        values = found.whole if index == 0 else {name: parts[index - 1] for name, parts in found.resampled.items()}
        assert values == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("unit", ["row", "day", "customer"])
def test_ranks_are_those_of_scikit_learn_to_the_last_digits(unit):
    prediction, target = make_predictions("binary", rows=2000)
    blocks = block_rows(unit, rows=2000)

    found = resample({"model": prediction}, target=target, blocks=blocks, scoring=SCORINGS["binary"], resampling=FEW)[
        "model"
    ].resampled

    for index, counts in enumerate(np.concatenate([d.counts for d in draw(blocks, resamples=20, seed=0)])):
        weights = counts[blocks.codes]
        auc = roc_auc_score(target, prediction.astype(np.float64), sample_weight=weights)
        precision = average_precision_score(target, prediction.astype(np.float64), sample_weight=weights)
        assert found["auroc"][index] == pytest.approx(auc, rel=1e-13)
        assert found["average_precision"][index] == pytest.approx(precision, rel=1e-13)


def test_a_metric_that_a_resample_does_not_define_is_no_number():
    statistics = make_statistics(
        np.array([0.2, 0.7], dtype=np.float32),
        target=np.array([0.0, 1.0]),
        blocks=Blocks.of_rows(2),
        scoring=SCORINGS["binary"],
    )
    only_positives = np.array([[0, 2]], dtype=np.int32)

    values = {
        name: statistic.evaluate(Draws(only_positives, only_positives.astype(float)))[0]
        for name, statistic in statistics.items()
    }

    assert np.isnan(values["auroc"])
    assert np.isnan(values["average_precision"])
    assert values["accuracy"] == 1


def test_the_mean_of_the_losses_is_the_log_loss():
    for task, name in (("binary", "log_loss"), ("multiclass", "log_loss"), ("multilabel", "log_loss")):
        prediction, target = make_predictions(task, rows=300)
        metrics = compute_metrics(
            task=task,
            prediction=torch.from_numpy(prediction),
            target=torch.from_numpy(target),
            threshold=0.5,
            num_bins=15,
        )

        assert compute_losses(prediction, target=target, task=task).mean() == pytest.approx(metrics[name])


def simulate_days(generator, *, days=40, rows=50, gain=0.0):
    """Days that differ: of each row of a day the outcome's odds are moved by what the models do not know.

    Returns:
        Predictions of a model and of one that is better by the gain in its knowledge, targets, days.
    """
    day = np.repeat(np.arange(days), rows)
    known = generator.normal(size=days * rows) - 1.5
    odds = known + generator.normal(scale=1.0, size=days)[day]
    target = (generator.random(days * rows) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    first, second = (known + generator.normal(scale=scale, size=days * rows) for scale in (1.0 - gain, 1.0))
    return *(1 / (1 + np.exp(-x / 1.5)) for x in (first, second)), target, day


@pytest.mark.slow
def test_intervals_over_days_cover_and_over_rows_do_not():
    """The mean loss of days that hang together, against its mean over many such years."""
    generator = np.random.default_rng(0)
    setup = Resampling(resamples=200, coverage=0.9, seed=0)
    truth = np.mean(
        [
            compute_losses(first, target=target, task="binary").mean()
            for first, _, target, _ in (simulate_days(generator) for _ in range(300))
        ]
    )

    covered = {"row": 0, "day": 0}
    for _ in range(100):
        first, _, target, day = simulate_days(generator)
        for unit, blocks in (("row", Blocks.of_rows(len(day))), ("day", Blocks.of(day, unit="day"))):
            found = resample(
                {"model": first},
                target=target,
                blocks=blocks,
                scoring=SCORINGS["binary"],
                resampling=setup,
                metrics=["log_loss"],
            )["model"].estimate("log_loss", coverage=0.9)
            covered[unit] += found.low <= truth <= found.high

    assert covered["day"] >= 82
    assert covered["row"] <= 75


@pytest.mark.parametrize("metric", ["auroc", "log_loss"])
def test_a_pair_is_told_apart_only_where_one_is_better(metric):
    generator = np.random.default_rng(0)
    setup = Resampling(resamples=200, coverage=0.95, seed=0)

    beyond = {}
    for gain in (0.0, 0.6):
        beyond[gain] = 0
        for _ in range(40):
            first, second, target, day = simulate_days(generator, gain=gain)
            found = compare(
                first,
                second,
                target=target,
                blocks=Blocks.of(day, unit="day"),
                metric=metric,
                scorings=(SCORINGS["binary"], SCORINGS["binary"]),
                resampling=setup,
            )
            better = found.low > 0 if metric == "auroc" else found.high < 0
            beyond[gain] += better

    assert beyond[0.0] <= 4
    assert beyond[0.6] >= 32


def test_equal_models_do_not_differ():
    prediction, target = make_predictions("regression", rows=300)

    found = compare(
        prediction,
        prediction.copy(),
        target=target,
        blocks=Blocks.of_rows(300),
        metric="rmse",
        scorings=(SCORINGS["regression"], SCORINGS["regression"]),
        resampling=FEW,
    )

    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert not found.excludes_zero


def test_few_blocks_have_no_interval_and_more_have_a_wide_one():
    values = np.random.default_rng(0).normal(size=100_000)

    assert find_bounds(values, coverage=0.95, num_blocks=4) is None
    low, high = find_bounds(values, coverage=0.95, num_blocks=10)
    assert high - low == pytest.approx(2 * 2.262 * (10 / 9) ** 0.5, rel=0.02)
    low, high = find_bounds(values, coverage=0.95, num_blocks=100_000)
    assert high - low == pytest.approx(2 * 1.96, rel=0.02)


def test_resamples_of_more_rows_are_taken_fewer_at_a_time():
    blocks = Blocks.of(np.arange(2000) // 2, unit="pair")
    (whole, *_) = draw(blocks, resamples=200, seed=0)

    parts = list(whole.split(20 * 2000))  # pairs of a row and one of 20 labels

    assert max(len(part.counts) for part in parts) * 20 * 2000 <= 500_000
    assert np.array_equal(np.concatenate([part.counts for part in parts]), whole.counts)
    assert [len(part.counts) for part in whole.split(2000)] == [len(whole.counts)]


def test_the_same_seed_draws_the_same_blocks_in_any_number_of_rows():
    """Chunks depend on the rows alone: models that are compared see the same resamples."""
    blocks = Blocks.of_rows(200_000)

    first, second = (np.concatenate([d.counts for d in draw(blocks, resamples=5, seed=3)]) for _ in range(2))

    assert (first == second).all()
    assert first.mean() == pytest.approx(1, abs=2e-3)
    assert first.var() == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("unit", ["row", "day"])
def test_a_metric_of_ones_own_has_the_interval_of_the_same_metric_of_the_task(unit):
    prediction, target = make_predictions("regression", rows=200)
    blocks = block_rows(unit, rows=200)
    own = {"mine": lambda prediction, target: (prediction - target).abs().mean()}
    scoring = Scoring("regression", threshold=0.5, num_bins=15, own=own)
    resampling = Resampling(resamples=200, coverage=0.95, seed=0)

    (found,) = resample(
        {"model": prediction}, target=target, blocks=blocks, scoring=scoring, resampling=resampling
    ).values()

    mine, mae = (found.estimate(name, coverage=0.95) for name in ("mine", "mae"))
    assert (mine.value, mine.low, mine.high) == pytest.approx((mae.value, mae.low, mae.high), rel=1e-5)


@pytest.mark.slow
def test_a_slow_metric_of_ones_own_is_computed_for_the_first_resamples_alone():
    calls = []

    def measure(prediction, target):
        calls.append(len(target))
        return (prediction - target).abs().mean()

    prediction, target = make_predictions("regression", rows=150_000)
    scoring = Scoring("regression", threshold=0.5, num_bins=15, own={"mine": measure})
    found = resample(
        {"model": prediction},
        target=target,
        blocks=Blocks.of(np.arange(150_000) // 1500, unit="day"),
        scoring=scoring,
        resampling=Resampling(resamples=400, coverage=0.95, seed=0),
        metrics=["mine", "mae"],
    )["model"]

    assert len(calls) == MIN_OWN + 1  # and once on all rows
    assert found.resampled["mine"] == pytest.approx(found.resampled["mae"][:MIN_OWN], rel=1e-4)
    assert found.estimate("mine", coverage=0.95) is not None


def test_a_metric_of_ones_own_that_fails_for_a_resample_is_no_number_there():
    def rank(prediction, target):
        if len(target.unique()) < 2:
            raise ValueError("only one class")
        return prediction.mean()

    prediction, target = np.array([0.2, 0.8], dtype=np.float32), np.array([0, 1])
    scoring = Scoring("binary", threshold=0.5, num_bins=15, own={"mine": rank})
    statistics = make_statistics(prediction, target=target, blocks=Blocks.of_rows(2), scoring=scoring)
    counts = np.array([[1, 1], [2, 0], [0, 2]], dtype=np.int32)

    values = statistics["mine"].evaluate(Draws(counts, counts.astype(float)))

    assert np.isnan(values).tolist() == [False, True, True]
    assert values[0] == pytest.approx(0.5)
