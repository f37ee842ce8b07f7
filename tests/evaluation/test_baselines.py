"""What a model is compared with: learned, stored, and without offset or unit."""

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from treadle.evaluation.baselines import KINDS, Sizes
from treadle.features.featurizer import Inputs
from treadle.schema import Batch


def make_rows(num_rows=600, task="binary"):
    generator = torch.Generator().manual_seed(0)
    numeric = torch.randn(num_rows, 3, generator=generator)
    ids = torch.randint(3, (num_rows, 1), generator=generator)
    signal = numeric[:, 0] + (ids[:, 0] == 1)
    target = {
        "binary": (signal > 0).float(),
        "multiclass": (signal > 0).long() + (signal > 1).long(),
        "regression": signal,
        "count": torch.poisson(signal.exp(), generator=generator),
    }
    return Batch.of_numbers(numeric, ids, target[task], torch.ones(num_rows))


def fit(name, task):
    rows = make_rows(task=task)
    num_classes = 3 if task == "multiclass" else 0
    fitted = KINDS[name].fit(rows, Sizes(task, num_numeric=3, cardinalities=[3], num_classes=num_classes))
    return rows, fitted.predict(Inputs.of_numbers(rows.numeric, rows.ids))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "count"])
def test_the_prior_is_the_mean_of_the_target(task):
    rows, predicted = fit("prior", task)

    if task == "multiclass":
        assert torch.allclose(predicted[0], rows.target.bincount() / len(rows.target))
    else:
        assert predicted[0] == pytest.approx(float(rows.target.mean()), abs=1e-6)
    assert (predicted == predicted[0]).all()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "count"])
@pytest.mark.parametrize("name", ["linear", "gradient_boosting"])
def test_a_baseline_learns(name, task):
    rows, predicted = fit(name, task)

    if task == "count":
        mean = (rows.numeric[:, 0] + (rows.ids[:, 0] == 1)).exp()
        assert (predicted.log() - mean.log()).square().mean() < 0.25 * mean.log().var()
    elif task == "regression":
        assert (predicted - rows.target).square().mean() < 0.1 * rows.target.var()
    else:
        decided = predicted.argmax(dim=1) if task == "multiclass" else predicted > 0.5
        assert (decided == rows.target).float().mean() > 0.9


@pytest.mark.parametrize("name", ["prior", "linear", "gradient_boosting"])
def test_a_baseline_knows_neither_offset_nor_unit(name):
    """Of the target; nor of the weights."""
    rows = make_rows(task="regression")
    moved = rows._replace(target=rows.target.double() * 60 + 1.7e9, weight=rows.weight * 1e-12)
    inputs = Inputs.of_numbers(rows.numeric, rows.ids)

    sizes = Sizes("regression", num_numeric=3, cardinalities=[3], num_classes=0)
    plain, large = (KINDS[name].fit(some, sizes).predict(inputs) for some in (rows, moved))

    assert torch.allclose((large - 1.7e9) / 60, plain, atol=1e-4)


def test_the_linear_baseline_of_a_regression_is_least_squares():
    rows, predicted = fit("linear", "regression")

    words = np.eye(3)[rows.ids[:, 0].numpy()]
    design = np.concatenate([rows.numeric.numpy(), words], axis=1)
    solution, *_ = np.linalg.lstsq(design, rows.target.numpy(), rcond=None)
    assert np.allclose(predicted.numpy(), design @ solution, atol=1e-2)


def make_noise(num_rows, seed):
    generator = torch.Generator().manual_seed(seed)
    numeric = torch.randn(num_rows, 100, generator=generator)
    ids = torch.randint(20, (num_rows, 5), generator=generator)
    target = (torch.rand(num_rows, generator=generator) < 0.25).float()
    return Batch.of_numbers(numeric, ids, target, torch.ones(num_rows))


def test_the_linear_baseline_of_few_rows_is_hardly_worse_than_guessing():
    sizes = Sizes("binary", num_numeric=100, cardinalities=[20] * 5, num_classes=0)
    rows, new = make_noise(300, seed=0), make_noise(3000, seed=1)
    inputs = Inputs.of_numbers(new.numeric, new.ids)

    losses = {
        name: nnf.binary_cross_entropy(KINDS[name].fit(rows, sizes).predict(inputs), new.target)
        for name in ("prior", "linear")
    }

    assert losses["linear"] < 1.02 * losses["prior"]


def test_rows_that_do_not_count_are_nothing_to_the_linear_baseline():
    """Of 100 rows two weigh more than 0: there are folds without any."""
    sizes = Sizes("regression", num_numeric=100, cardinalities=[20] * 5, num_classes=0)
    rows = make_noise(100, seed=0)
    rows = rows._replace(weight=(torch.arange(100) < 2).float())

    fitted = KINDS["linear"].fit(rows, sizes)

    assert bool(fitted.predict(Inputs.of_numbers(rows.numeric, rows.ids)).isfinite().all())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "count"])
@pytest.mark.parametrize("name", KINDS)
def test_a_baseline_predicts_the_same_after_it_was_stored(name, task, tmp_path):
    rows = make_rows(task=task)
    sizes = Sizes(task, num_numeric=3, cardinalities=[3], num_classes=3 if task == "multiclass" else 0)
    fitted = KINDS[name].fit(rows, sizes)

    fitted.save(tmp_path / name)
    stored = KINDS[name].load(tmp_path / name, sizes)

    inputs = Inputs.of_numbers(rows.numeric, rows.ids)
    assert torch.equal(stored.predict(inputs), fitted.predict(inputs))
