"""A row counts in training, and in the validation loss, as often as its `data.examples.weight`."""

import json

import polars as pl
import pytest
import torch

from runs import find_run, run_quick
from treadle.bundle import load
from treadle.metrics.log import read_metrics_log
from treadle.models.mlp import Mlp
from treadle.schema import Batch
from treadle.training.learner import compute_loss
from treadle.training.losses import TaskLoss

TASKS = ["binary", "multiclass", "regression"]


def differentiate(task, rows, weight, *, target=(0, 1, 1, 0)):
    """The loss of a small network on these of four rows, and the gradients of its weights."""
    torch.manual_seed(0)
    numeric = torch.randn(4, 3)
    num_outputs = 2 if task == "multiclass" else 1
    sizes = {"num_layers": 1, "width": 8, "dropout": 0.0, "embedding_dim": 1}
    network = Mlp(num_numeric=3, cardinalities=[], num_outputs=num_outputs, **sizes)
    wanted = torch.tensor(target) if task == "multiclass" else torch.tensor(target).float()
    batch = Batch.of_numbers(numeric[rows], torch.empty(len(rows), 0).long(), wanted[rows], torch.tensor(weight))
    loss = compute_loss(network(batch.numeric, batch.ids), batch, loss=TaskLoss(task=task), weighted=True)
    return torch.cat([loss[None], *(g.flatten() for g in torch.autograd.grad(loss, list(network.parameters())))])


@pytest.mark.parametrize("task", TASKS)
def test_a_row_of_weight_2_has_the_loss_and_the_gradients_of_two_rows(task):
    weighted = differentiate(task, [0, 1, 2, 3], [1.0, 2.0, 1.0, 1.0])

    assert torch.allclose(weighted, differentiate(task, [0, 1, 1, 2, 3], [1.0] * 5), atol=1e-7)
    assert not torch.allclose(weighted, differentiate(task, [0, 1, 2, 3], [1.0] * 4), atol=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_a_row_of_weight_0_has_neither(task):
    weighted = differentiate(task, [0, 1, 2, 3], [1.0, 0.0, 1.0, 1.0])

    assert torch.allclose(weighted, differentiate(task, [0, 2, 3], [1.0] * 3), atol=1e-7)
    assert torch.equal(weighted, differentiate(task, [0, 1, 2, 3], [1.0, 0.0, 1.0, 1.0], target=(0, 0, 1, 0)))


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_of_weight_0_has_no_loss_and_changes_nothing(task):
    assert not differentiate(task, [0, 1], [0.0, 0.0]).any()


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e30])
@pytest.mark.parametrize("task", TASKS)
def test_weights_have_no_unit(task, unit):
    weighted = differentiate(task, [0, 1, 2, 3], [unit, 2 * unit, unit, unit])

    assert torch.allclose(weighted, differentiate(task, [0, 1, 2, 3], [1.0, 2.0, 1.0, 1.0]), atol=1e-6)


@pytest.mark.slow
def test_the_validation_loss_is_weighed(project):
    """It is the weighted mean of what the bundle's predictions miss, in standard deviations."""
    assert run_quick("tracker=disabled", "data.examples.weight=Population", verb="train") == 0
    run = find_run(project)
    rows = pl.read_parquet(run / "examples" / "valid.parquet")
    bundle = load(run)
    missed = ((bundle.predict(rows)["prediction"] - rows["label"]) / bundle.card.target.scale) ** 2

    best = json.loads((run / "model" / "summary.json").read_text())["best_epoch"]
    told = read_metrics_log(run / "metrics.csv")[best - 1]["valid/loss"]
    assert told == pytest.approx((missed * rows["weight"]).sum() / rows["weight"].sum(), rel=1e-4)
    assert told != pytest.approx(missed.mean(), rel=1e-2)


@pytest.mark.slow
def test_values_of_rows_of_weight_0_change_no_loss_of_a_training(project):
    """Half of the records count nothing, and have other labels in the second run."""
    losses = []
    counts, truth = "fnlwgt < 180000", "income = '>50K'"
    for number, label in enumerate((truth, f"CASE WHEN {counts} THEN {truth} ELSE fnlwgt < 250000 END")):
        node, weight = f'data.examples.label="{label}"', f'data.examples.weight="CASE WHEN {counts} THEN 1 ELSE 0 END"'
        overrides = ("experiment=adult", "tracker=disabled", f"name=run_{number}", node, weight)
        assert run_quick(*overrides, verb="train") == 0
        (file,) = project.glob(f"runs/run_{number}-*/metrics.csv")
        losses.append(read_metrics_log(file))

    assert [row["train/loss"] for row in losses[0]] == [row["train/loss"] for row in losses[1]]
    assert [row["valid/loss"] for row in losses[0]] == [row["valid/loss"] for row in losses[1]]
    assert losses[0][-1]["valid/accuracy"] > losses[1][-1]["valid/accuracy"] + 0.1
