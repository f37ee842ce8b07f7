"""What training refuses before its first step, and the error where it failed."""

import math

import pytest
import torch
from torch import nn

from batching import make_batching
from runs import run_quick
from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.errors import TreadleError
from treadle.features.stored import StoredRows, write_rows
from treadle.schema import Batch
from treadle.training.requirements import explain_failure, find_min_rows, require_rows
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling
from treadle.training.stream import DiskRows

pytestmark = pytest.mark.fast_cases(2)


def make_rows(target, weight=None):
    target = torch.tensor(target)
    numeric = torch.randn(len(target), 1, generator=torch.Generator().manual_seed(0))
    weight = torch.ones(len(target)) if weight is None else torch.tensor(weight)
    return MemoryRows(Batch.of_numbers(numeric, torch.empty(len(target), 0, dtype=torch.int64), target, weight))


def read(root, task="binary", monitor="loss"):
    name = {"binary": "flights", "regression": "california"}[task]
    return check(compose(overrides=[f"experiment={name}", f"schedule.monitor={monitor}"], root=root))


def on_disk(rows, folder):
    write_rows([rows.batch], folder)
    return DiskRows(StoredRows.find(folder), buffer_rows=100, scaling=Scaling(torch.tensor([1.0, 0.0, 1.0])))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_that_weights_of_classes_leave_nothing_of_is_refused(root, split, tmp_path):
    valid, empty = make_rows([0.0, 1.0]), make_rows([1.0, 1.0], [0.0, 0.0])

    with pytest.raises(TreadleError, match=rf"loss\.class_weights: no row of {split} counts"):
        require_rows({"train": valid, "valid": valid, split: empty}, experiment=read(root))
    streams = {name: on_disk(valid, tmp_path / name) for name in ("train", "valid")}
    streams[split] = on_disk(make_rows([1.0, 1.0]), tmp_path / "empty")
    with pytest.raises(TreadleError, match=rf"loss\.class_weights: no row of {split} counts"):
        require_rows(streams, experiment=read(root))


@pytest.mark.parametrize(
    ("task", "monitor", "target", "told"),
    [
        ("binary", "auroc", [1.0, 1.0], "its 2 rows is always 1"),
        ("binary", "average_precision", [0.0, 0.0], "its 2 rows is always 0"),
        ("binary", "auroc", [1.0], "its 1 row is 1"),
        ("regression", "r2", [0.5], "it holds 1 row; "),
    ],
)
def test_a_metric_that_the_validation_rows_do_not_define_is_refused(root, task, monitor, target, told):
    train, valid = make_rows([0.0, 1.0]), make_rows(target)

    with pytest.raises(TreadleError, match=rf"schedule\.monitor: {monitor} is not defined on .*{told}"):
        require_rows({"train": train, "valid": valid}, experiment=read(root, task, monitor))
    require_rows({"train": train, "valid": valid}, experiment=read(root, task))


def test_a_calibration_that_the_validation_rows_cannot_carry_is_refused_before_the_training(root):
    few, many = make_rows([0.0, 1.0] * 20), make_rows([0.0, 1.0] * 25)
    experiment = check(compose(overrides=["experiment=flights", "evaluation.calibrate=isotonic"], root=root))

    with pytest.raises(
        TreadleError, match=r"evaluation\.calibrate: isotonic cannot be fitted: .*40 rows, fewer than 50"
    ):
        require_rows({"train": many, "valid": few}, experiment=experiment)
    require_rows({"train": few, "valid": many}, experiment=experiment)


class OfNumbers(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, numeric, ids):  # noqa: ARG002 - as every network
        return self.network(numeric)


class Spread(nn.Module):
    """Divides by the deviation of the batch: of a single row that is no number."""

    def forward(self, numeric):
        return numeric / numeric.std(dim=0)


@pytest.mark.parametrize("network", [nn.BatchNorm1d(1), Spread()], ids=["fails", "gives no number"])
def test_a_network_that_learns_from_the_spread_of_a_batch_sees_no_single_row(network):
    rows = make_rows([0.0] * 65)
    network = OfNumbers(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}

    min_rows = find_min_rows(network, {"train": rows}, batch_size=64, num_processes=1)
    batches = list(rows.make_loader(make_batching(batch_size=64, min_rows=min_rows)))

    assert [len(batch.target) for batch in batches] == [64]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert find_min_rows(network, {"train": rows}, batch_size=63, num_processes=1) == 1
    with pytest.raises(TreadleError, match=r"schedule\.batch_size: the network trains on no batch of a single row"):
        find_min_rows(network, {"train": rows}, batch_size=1, num_processes=1)
    with pytest.raises(TreadleError, match=r"found batches of 64 for 1 rows and 1 processes"):
        find_min_rows(network, {"train": make_rows([0.0])}, batch_size=64, num_processes=1)


def test_any_other_network_sees_every_row():
    rows = {"train": make_rows([0.0] * 65)}

    assert find_min_rows(OfNumbers(nn.Identity()), rows, batch_size=64, num_processes=1) == 1


def fail(rows, *, loss):
    epochs = [{"train/loss": loss, "valid/loss": loss, "valid/auroc": math.nan}]
    return explain_failure({"train": rows}, epochs=epochs, monitor="auroc", numeric=["x"])


def test_a_failure_is_blamed_on_what_caused_it():
    rows = make_rows([0.0, 1.0])
    large = MemoryRows(rows.batch._replace(numeric=torch.tensor([[1e20]])))

    assert "lower schedule.optimizer.lr" in fail(rows, loss=math.nan)
    assert "the input 'x' is as large as 1e+20" in fail(large, loss=math.nan)
    assert "monitor another metric" in fail(rows, loss=0.5)


def test_weights_of_classes_that_are_all_0_end_before_the_first_epoch(project, capsys):
    weights = "loss.class_weights={positive: 0, negative: 0}"

    assert run_quick("experiment=adult", "tracker=disabled", weights, "evaluation.metric=auroc", verb="train") == 2

    assert "loss.class_weights" in capsys.readouterr().err
