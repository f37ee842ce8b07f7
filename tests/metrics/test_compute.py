"""Metrics against their definitions, written out."""

import math

import pytest
import torch
from sklearn.metrics import d2_tweedie_score, mean_poisson_deviance

from treadle.metrics.compute import compute_metrics
from treadle.metrics.registry import METRICS, find_task_metric


def draw(num_rows=400):
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(num_rows, generator=generator)
    return probability, (torch.rand(num_rows, generator=generator) < probability).float()


def test_binary_metrics_are_what_they_say():
    p, y = draw()
    found = compute_metrics(task="binary", prediction=p, target=y, threshold=0.3, num_bins=15)

    positive, negative = p[y == 1].double(), p[y == 0].double()
    pairs = positive[:, None] - negative[None, :]
    decided, p = (p >= 0.3).float(), p.double()
    true_positive = float((decided * y).sum())
    assert found["auroc"] == pytest.approx(float((pairs > 0).double().mean()), abs=1e-6)
    assert found["log_loss"] == pytest.approx(float(-(y * p.log() + (1 - y) * (1 - p).log()).mean()), abs=1e-9)
    assert found["brier"] == pytest.approx(float((p - y).square().mean()), abs=1e-9)
    assert found["accuracy"] == pytest.approx(float((decided == y).double().mean()), abs=1e-6)
    assert found["f1"] == pytest.approx(2 * true_positive / float(decided.sum() + y.sum()), abs=1e-6)


def test_regression_metrics_are_what_they_say():
    prediction, target = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 2.0])

    found = compute_metrics(task="regression", prediction=prediction, target=target, threshold=0.5, num_bins=15)

    assert found == pytest.approx({"rmse": math.sqrt(5 / 3), "mae": 1.0, "r2": 1 - 5 / 2})


def test_metrics_of_counts_are_those_of_scikit_learn():
    prediction, target = torch.tensor([0.5, 1.0, 2.0, 4.0]), torch.tensor([0.0, 1.0, 5.0, 2.0])

    found = compute_metrics(task="count", prediction=prediction, target=target, threshold=0.5, num_bins=15)

    assert found["poisson_deviance"] == pytest.approx(mean_poisson_deviance(target, prediction))
    assert found["d2"] == pytest.approx(d2_tweedie_score(target, prediction, power=1))
    assert (found["mae"], found["rmse"]) == pytest.approx((5.5 / 4, math.sqrt(13.25 / 4)))


def test_a_mean_of_0_costs_much_and_not_everything():
    prediction, target = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 1.0])

    found = compute_metrics(task="count", prediction=prediction, target=target, threshold=0.5, num_bins=15)

    assert 10 < found["poisson_deviance"] < 100


def test_multiclass_metrics_are_what_they_say():
    shares = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.8, 0.1, 0.1]])
    target = torch.tensor([0, 1, 2, 2])

    found = compute_metrics(task="multiclass", prediction=shares, target=target, threshold=0.5, num_bins=15)

    assert found["accuracy"] == pytest.approx(0.75)
    assert found["log_loss"] == pytest.approx(-sum(map(math.log, [0.7, 0.6, 0.4, 0.1])) / 4)
    assert found["brier"] == pytest.approx((0.14 + 0.26 + 0.54 + 1.46) / 4)
    assert found["f1"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)


def test_a_class_that_training_never_saw_counts_as_wrong():
    shares = torch.tensor([[0.9, 0.1], [0.9, 0.1]])

    found = compute_metrics(
        task="multiclass", prediction=shares, target=torch.tensor([0, -1]), threshold=0.5, num_bins=15
    )

    assert found["accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(1e-7)) / 2)


@pytest.mark.parametrize("task", METRICS)
def test_every_metric_is_computed_even_for_no_rows(task):
    shape = (0, 3) if task == "multiclass" else (0,)

    found = compute_metrics(task=task, prediction=torch.empty(shape), target=torch.empty(0), threshold=0.5, num_bins=15)

    assert list(found) == [metric.name for metric in METRICS[task]]
    assert all(math.isnan(value) for value in found.values())


def test_one_class_alone_has_no_auc():
    found = compute_metrics(
        task="binary", prediction=torch.tensor([0.2, 0.4]), target=torch.zeros(2), threshold=0.5, num_bins=15
    )

    assert math.isnan(found["auroc"])
    assert found["accuracy"] == 1.0


@pytest.mark.parametrize("num_bins", [4, 15])
def test_the_calibration_error_is_the_mean_gap_of_the_bins_by_their_rows(num_bins):
    p, y = draw()
    bins = (p * num_bins).long()
    gaps = [abs(float((p - y)[bins == index].sum())) for index in range(num_bins)]

    found = compute_metrics(task="binary", prediction=p, target=y, threshold=0.5, num_bins=num_bins)

    assert found["calibration_error"] == pytest.approx(sum(gaps) / len(p), abs=1e-6)


def test_names_are_found_by_task():
    assert find_task_metric("binary", "auroc").higher_is_better
    assert find_task_metric("regression", "auroc") is None
    assert [metric.name for metric in METRICS["regression"]] == ["rmse", "mae", "r2"]
