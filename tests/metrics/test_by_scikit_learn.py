"""Every metric beside scikit-learn's, on plain rows and on edges: ties, one class, classes that are absent or new."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from treadle.metrics.compute import compute_metrics
from treadle.metrics.registry import EPSILON

N = 500
RANDOM = np.random.default_rng(0)
SHARES = RANDOM.random(N)
TRUTH = (RANDOM.random(N) < SHARES).astype(int)
GRID = (SHARES * 10).round() / 10  # ties, 0 and 1


def compare(found, wanted):
    for name, value in wanted.items():
        same = math.isnan(found[name]) if math.isnan(value) else found[name] == pytest.approx(value, abs=1e-6)
        assert same, (name, found[name], value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize(
    ("probability", "truth"),
    [
        (SHARES, TRUTH),
        (GRID, TRUTH),
        (np.full(N, 0.5), TRUTH),
        (np.full(N, 0.7), TRUTH),
        (GRID, np.ones(N, int)),
        (GRID, np.zeros(N, int)),
        (SHARES[:2], np.array([0, 1])),
    ],
    ids=["plain", "ties", "all 0.5", "all 0.7", "only positive", "only negative", "two rows"],
)
def test_binary_metrics(probability, truth, threshold, dtype):
    probability = probability.astype(dtype)
    decided, both = probability >= dtype(threshold), len(set(truth)) > 1
    clipped = probability.astype(np.float64).clip(EPSILON, 1 - EPSILON)

    found = compute_metrics(
        task="binary",
        prediction=torch.tensor(probability),
        target=torch.tensor(truth),
        threshold=threshold,
        num_bins=15,
    )

    compare(
        found,
        {
            "auroc": sk.roc_auc_score(truth, probability) if both else math.nan,
            "average_precision": sk.average_precision_score(truth, probability) if both else math.nan,
            "log_loss": sk.log_loss(truth, clipped, labels=[0, 1]),
            "brier": sk.brier_score_loss(truth, probability, labels=[0, 1]),
            "accuracy": sk.accuracy_score(truth, decided),
            "f1": sk.f1_score(truth, decided, zero_division=0),
        },
    )


@pytest.mark.parametrize(
    "case", ["plain", "a class is absent", "a class is never decided", "classes are new", "one is met"]
)
def test_multiclass_metrics(case):
    generator = np.random.default_rng(1)
    shares, truth = generator.dirichlet(np.ones(5), N), generator.integers(0, 5, N)
    if case != "plain":
        truth[truth == 3] = {"classes are new": -1, "one is met": 2}.get(case, 1)
    if case == "a class is never decided":
        shares[:, 3] = 0
        shares /= shares.sum(axis=1, keepdims=True)
    if case == "one is met":
        shares, truth = np.tile([0.1, 0.1, 0.6, 0.1, 0.1], (N, 1)), np.full(N, 2)
    decided, known = shares.argmax(axis=1), truth >= 0
    met = sorted((set(truth) | set(decided)) - {-1})
    new = (~known).mean()

    found = compute_metrics(
        task="multiclass", prediction=torch.tensor(shares), target=torch.tensor(truth), threshold=0.5, num_bins=15
    )

    log_loss = sk.log_loss(truth[known], shares[known], labels=range(5))
    brier = sk.brier_score_loss(truth[known], shares[known], labels=range(5))
    missed = (shares[~known] ** 2).sum(axis=1).sum() / N + new
    compare(
        found,
        {
            "accuracy": sk.accuracy_score(truth, decided),
            "f1": sk.f1_score(truth, decided, labels=met, average="macro"),
            "log_loss": log_loss * (1 - new) - new * math.log(EPSILON),
            "brier": brier * (1 - new) + missed,
        },
    )


@pytest.mark.parametrize("case", ["plain", "a label is absent", "a label is everywhere"])
def test_multilabel_metrics(case):
    generator = np.random.default_rng(4)
    chances = generator.random((N, 3)).round(2)
    truth = (generator.random((N, 3)) < chances).astype(int)
    truth[:, 1] = {"plain": truth[:, 1], "a label is absent": 0, "a label is everywhere": 1}[case]
    thresholds = [0.3, 0.5, 0.7]
    decided, mixed = chances >= thresholds, [0, 1, 2] if case == "plain" else [0, 2]

    found = compute_metrics(
        task="multilabel",
        prediction=torch.tensor(chances),
        target=torch.tensor(truth),
        threshold=thresholds,
        num_bins=15,
    )

    clipped = chances.clip(EPSILON, 1 - EPSILON)
    compare(
        found,
        {
            "auroc": sk.roc_auc_score(truth[:, mixed], chances[:, mixed], average="macro"),
            "auroc_micro": sk.roc_auc_score(truth, chances, average="micro"),
            "average_precision": sk.average_precision_score(truth[:, mixed], chances[:, mixed], average="macro"),
            "average_precision_micro": sk.average_precision_score(truth, chances, average="micro"),
            "log_loss": np.mean([sk.log_loss(truth[:, k], clipped[:, k], labels=[0, 1]) for k in range(3)]),
            "brier": ((chances - truth) ** 2).mean(),
            "f1": sk.f1_score(truth, decided, average="macro", zero_division=0),
            "f1_micro": sk.f1_score(truth, decided, average="micro"),
            "subset_accuracy": sk.accuracy_score(truth, decided),
            "hamming_loss": sk.hamming_loss(truth, decided),
        },
    )


@pytest.mark.parametrize(
    ("offset", "unit"), [(0.0, 1.0), (1.7e9, 1.0), (0.0, 1e-6), (0.0, 1e30)], ids=["plain", "moments", "tiny", "huge"]
)
def test_regression_metrics(offset, unit):
    target = np.random.default_rng(2).normal(size=N) * unit + offset
    prediction = target + np.random.default_rng(3).normal(size=N) * unit / 3

    found = compute_metrics(
        task="regression", prediction=torch.tensor(prediction), target=torch.tensor(target), threshold=0.5, num_bins=15
    )

    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(target, prediction), rel=1e-9)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(target, prediction), rel=1e-9)
    assert found["r2"] == pytest.approx(sk.r2_score(target, prediction), rel=1e-6)


@pytest.mark.parametrize("prediction", [[0.5, 0.5, 0.5], [0.1, 0.2, 0.3], [0.1]], ids=["hit", "missed", "one row"])
def test_r_squared_of_a_constant_target(prediction):
    target = [0.5] * len(prediction)

    found = compute_metrics(
        task="regression", prediction=torch.tensor(prediction), target=torch.tensor(target), threshold=0.5, num_bins=15
    )

    with warnings.catch_warnings(action="ignore"):  # of one row
        compare(found, {"r2": sk.r2_score(target, prediction)})


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_where_a_prediction_is_no_number_no_metric_is_one(task, wrong):
    prediction = torch.full((4, 3) if task == "multiclass" else (4,), 0.3)
    prediction[2] = wrong

    found = compute_metrics(
        task=task, prediction=prediction, target=torch.tensor([0, 1, 1, 0]), threshold=0.5, num_bins=15
    )

    assert all(math.isnan(value) for value in found.values())
