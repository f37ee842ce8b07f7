import polars as pl
import pytest
import torch

from runs import find_run, run_quick
from treadle.bundle import load
from treadle.errors import TreadleError
from treadle.schema import Batch
from treadle.training.rows import MemoryRows
from treadle.training.scaling import measure_scaling


def make_rows(target, weight=None):
    target = torch.tensor(target)
    weight = torch.ones(len(target)) if weight is None else torch.tensor(weight)
    return Batch.of_numbers(torch.empty(len(target), 0), torch.empty(len(target), 0), target, weight)


def weigh(train, valid, wanted, classes=()):
    scaling = measure_scaling(MemoryRows(train).read_targets, wanted, classes=classes, loss=None)
    return [MemoryRows(rows).scale(scaling).batch.weight.tolist() for rows in (train, valid)]


def test_balanced_classes_weigh_the_same_in_all():
    """3 rows against 1: 4 / (2 * 3) and 4 / (2 * 1). Validation has the weights of training."""
    train, valid = weigh(make_rows([0.0, 0.0, 0.0, 1.0]), make_rows([1.0, 0.0]), "balanced")

    assert train == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])
    assert valid == pytest.approx([2.0, 2 / 3])


def test_balance_counts_the_weights_that_rows_have():
    """Weights of 3 and 1 in class 0, of 2 in class 1: 6 / (2 * 4) and 6 / (2 * 2), times the row's own."""
    train, _ = weigh(make_rows([0.0, 0.0, 1.0], [3.0, 1.0, 2.0]), make_rows([0.0]), "balanced")

    assert train == pytest.approx([2.25, 0.75, 3.0])


def test_a_class_without_rows_takes_no_share():
    train, valid = weigh(make_rows([0, 0, 2]), make_rows([1, -1, 2]), "balanced", classes=["a", "b", "c"])

    assert train == pytest.approx([0.75, 0.75, 1.5])
    assert valid == pytest.approx([1.0, 1.0, 1.5])


def test_a_class_that_is_not_named_weighs_1():
    train, valid = weigh(make_rows([0, 1, 2]), make_rows([-1, 2]), {"c": 5.0}, classes=["a", "b", "c"])

    assert (train, valid) == ([1.0, 1.0, 5.0], [1.0, 5.0])


def test_binary_classes_are_negative_and_positive():
    assert weigh(make_rows([0.0, 1.0]), make_rows([1.0]), {"negative": 2.0, "positive": 3.0}) == [[2.0, 3.0], [3.0]]


def test_a_class_that_does_not_exist_is_refused():
    with pytest.raises(TreadleError, match=r"loss\.class_weights\.blu: no class 'blu'\. Did you mean 'blue'\?"):
        weigh(make_rows([0]), make_rows([0]), {"blu": 2.0}, classes=["blue", "red"])


@pytest.mark.slow
def test_balance_finds_more_of_the_rare_class(project, run_once):
    """A quarter of the records are positive; balanced, the mean probability is that of even classes."""
    run_quick("experiment=adult", "tracker=disabled", "loss.class_weights=balanced", verb="train")
    (balanced,) = project.glob("runs/adult-*")
    found = {}
    for weights, run in (
        ("null", find_run(run_once("experiment=adult", "tracker=disabled").parent)),
        ("balanced", balanced),
    ):
        rows = pl.read_parquet(run / "examples" / "test.parquet")
        probability = load(run).predict(rows)["probability"]
        truth = rows["label"].cast(pl.Boolean)
        found[weights] = probability.mean(), (probability.filter(truth) > 0.5).mean()

    assert found["null"][0] == pytest.approx(0.24, abs=0.04)
    assert found["balanced"][0] > 0.32
    assert found["balanced"][1] > found["null"][1] + 0.15
