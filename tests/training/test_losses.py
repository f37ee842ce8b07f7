"""Losses: each against values worked out by hand, then through a training on real data."""

import json
import math
import sys

import polars as pl
import pytest
import torch
import yaml
from sklearn.metrics import mean_tweedie_deviance

from runs import find_run, forget_sources, run_quick
from treadle.bundle import load, to_prediction
from treadle.experiment.spec import Loss
from treadle.metrics.log import read_metrics_log
from treadle.schema import Batch
from treadle.training.learner import compute_loss
from treadle.training.losses import (
    FocalLoss,
    HuberLoss,
    PoissonLoss,
    QuantileLoss,
    QuantilesLoss,
    SmoothedLogLoss,
    TaskLoss,
    TweedieLoss,
    WeightedLogLoss,
)

LOSSES = {
    "binary": TaskLoss(task="binary"),
    "binary-smoothed": SmoothedLogLoss(task="binary", label_smoothing=0.1),
    "binary-focal": FocalLoss(task="binary", gamma=2.0),
    "multiclass": TaskLoss(task="multiclass"),
    "multiclass-smoothed": SmoothedLogLoss(task="multiclass", label_smoothing=0.1),
    "multiclass-focal": FocalLoss(task="multiclass", gamma=2.0),
    "regression": TaskLoss(task="regression"),
    "regression-quantile": QuantileLoss(task="regression", quantile=0.9),
    "regression-quantiles": QuantilesLoss(task="regression", levels=[0.1, 0.5, 0.9]),
    "regression-huber": HuberLoss(task="regression", delta=1.0),
    "regression-poisson": PoissonLoss(task="regression"),
    "count": TaskLoss(task="count"),
    "count-tweedie": TweedieLoss(task="count", power=1.3),
}
ADULT = ("experiment=adult", "evaluation.value=null", "model=mlp", "model.width=16", "tracker=disabled")


def logits(*shares):
    return torch.tensor(shares, dtype=torch.float64).log()


def logit(share):
    return torch.tensor([[share]], dtype=torch.float64).logit()


def evaluate(loss, output, target):
    return float(loss(output, torch.as_tensor(target).reshape(1)))


# --- formulas -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "true"), [(1.0, 0.8), (0.0, 0.2)])
def test_the_focal_loss_is_its_formula(target, true):
    loss = FocalLoss(task="binary", gamma=2.0)
    target = torch.tensor([target], dtype=torch.float64)

    assert evaluate(loss, logit(0.8), target) == pytest.approx(-((1 - true) ** 2) * math.log(true))


def test_the_focal_loss_of_several_classes_takes_the_true_one():
    loss = FocalLoss(task="multiclass", gamma=3.0)

    assert evaluate(loss, logits([0.7, 0.2, 0.1]), 1) == pytest.approx(-(0.8**3) * math.log(0.2))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_row_that_could_not_be_surer_leaves_a_gradient_that_is_a_number(gamma, task):
    output = torch.full((1, 1), 200.0) if task == "binary" else torch.tensor([[0.0, 200.0]])
    target = torch.ones(1) if task == "binary" else torch.ones(1, dtype=torch.int64)
    output.requires_grad_()

    FocalLoss(task=task, gamma=gamma)(output, target).sum().backward()

    assert output.grad.isfinite().all()


def test_smoothing_spreads_a_share_of_the_target_over_all_classes():
    """0.3 over 3 classes: 0.1 each, and 0.8 in all for the true one."""
    loss = SmoothedLogLoss(task="multiclass", label_smoothing=0.3)
    expected = -0.8 * math.log(0.7) - 0.1 * math.log(0.2) - 0.1 * math.log(0.1)

    assert evaluate(loss, logits([0.7, 0.2, 0.1]), 0) == pytest.approx(expected)


def test_smoothing_means_the_same_for_two_classes_and_for_a_binary_task():
    binary = SmoothedLogLoss(task="binary", label_smoothing=0.2)
    two = SmoothedLogLoss(task="multiclass", label_smoothing=0.2)
    expected = -0.9 * math.log(0.8) - 0.1 * math.log(0.2)

    assert evaluate(binary, logit(0.8), torch.ones(1, dtype=torch.float64)) == pytest.approx(expected)
    assert evaluate(two, logits([0.2, 0.8]), 1) == pytest.approx(expected)


LABELLED = {
    "plain": (TaskLoss(task="multilabel"), lambda p: -math.log(p), 1.0),
    "focal": (FocalLoss(task="multilabel", gamma=2.0), lambda p: -((1 - p) ** 2) * math.log(p), 1.0),
    "weighted": (WeightedLogLoss(task="multilabel", positive_weights=[5.0, 1.0]), lambda p: -math.log(p), 5.0),
    "smoothed": (
        SmoothedLogLoss(task="multilabel", label_smoothing=0.2),
        lambda p: -0.9 * math.log(p) - 0.1 * math.log(1 - p),
        1.0,
    ),
}


@pytest.mark.parametrize("name", LABELLED)
def test_several_labels_cost_the_mean_of_what_each_costs_alone(name):
    loss, cost, weight = LABELLED[name]
    output = torch.tensor([[0.8, 0.3]], dtype=torch.float64).logit()
    target = torch.tensor([[1.0, 0.0]], dtype=torch.float64)

    assert float(loss(output, target)) == pytest.approx((weight * cost(0.8) + cost(0.7)) / 2)


@pytest.mark.parametrize(("error", "cost"), [(2.0, 0.9 * 2.0), (-2.0, 0.1 * 2.0), (0.0, 0.0)])
def test_a_quantile_of_nine_tenths_makes_too_low_nine_times_as_dear_as_too_high(error, cost):
    loss = QuantileLoss(task="regression", quantile=0.9)

    assert evaluate(loss, torch.tensor([[1.0]]), 1.0 + error) == pytest.approx(cost)


def test_the_loss_of_several_quantiles_is_the_mean_of_theirs():
    output, target = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([3.0])
    several = QuantilesLoss(task="regression", levels=[0.1, 0.5, 0.9])
    each = [QuantileLoss(task="regression", quantile=level) for level in (0.1, 0.5, 0.9)]

    costs = [evaluate(loss, output[:, k : k + 1], target) for k, loss in enumerate(each)]

    assert evaluate(several, output, target) == pytest.approx(sum(costs) / 3)


def test_the_constant_of_least_cost_is_the_quantile():
    target = torch.arange(1.0, 100.0)
    loss = QuantileLoss(task="regression", quantile=0.9)
    costs = [float(loss(torch.full((99, 1), guess), target).mean()) for guess in target]

    assert target[costs.index(min(costs))] == 90


@pytest.mark.parametrize(("error", "cost"), [(0.5, 0.125), (-1.5, 1.125), (4.0, 1.5 * (4.0 - 0.75))])
def test_the_huber_loss_bends_into_a_line_at_delta(error, cost):
    loss = HuberLoss(task="regression", delta=1.5)

    assert evaluate(loss, torch.tensor([[1.0]]), 1.0 + error) == pytest.approx(cost)


@pytest.mark.parametrize(("target", "mean"), [(0.0, 0.5), (1.0, 0.5), (3.0, 3.0), (7.0, 2.0)])
def test_the_poisson_loss_is_half_the_deviance(target, mean):
    """Against the difference of log-likelihoods, from the probabilities themselves."""
    likelihood, best = (rate**target * math.exp(-rate) for rate in (mean, target))

    cost = evaluate(PoissonLoss(task="regression"), torch.tensor([[mean]]).log(), target)

    assert cost == pytest.approx(math.log(best / likelihood), abs=1e-6)


@pytest.mark.parametrize(("target", "mean"), [(0.0, 0.5), (1.0, 0.5), (3.0, 3.0), (7.0, 2.0)])
def test_the_tweedie_loss_is_half_the_deviance(target, mean):
    cost = evaluate(TweedieLoss(task="regression", power=1.5), torch.tensor([[mean]]).log(), target)

    assert 2 * cost == pytest.approx(mean_tweedie_deviance([target], [mean], power=1.5), abs=1e-6)


def test_of_an_output_that_is_a_logarithm_members_are_averaged_as_predictions():
    output = torch.tensor([[[1.0], [4.0]]]).log()

    assert to_prediction(output, task="regression", link="log").tolist() == pytest.approx([2.5])


@pytest.mark.parametrize("name", [name for name in LOSSES if name.startswith("multiclass")])
def test_a_class_that_is_not_known_costs_nothing(name):
    assert evaluate(LOSSES[name], torch.randn(1, 3), -1) == 0


# --- every loss ---------------------------------------------------------------------------------------


def draw(loss, num_rows):
    num_outputs = 3 if loss.task == "multiclass" or hasattr(loss, "levels") else 1
    target = torch.tensor([0, 1, 1]).repeat(num_rows)[:num_rows]
    return torch.randn(num_rows, num_outputs), target if loss.task == "multiclass" else target.float()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_row_of_weight_2_counts_like_two_rows(loss):
    output, target = draw(loss, 3)

    def total(index, weight):
        none = torch.empty(len(index), 0)
        return compute_loss(
            output[index], Batch.of_numbers(none, none, target[index], torch.tensor(weight)), loss=loss, weighted=True
        )

    assert torch.allclose(total([0, 1, 2], [1.0, 1.0, 2.0]), total([0, 1, 2, 2], [1.0] * 4))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_gives_a_number_for_each_row_and_for_none(loss):
    assert loss(*draw(loss, 5)).shape == (5,)
    assert loss(*draw(loss, 0)).shape == (0,)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_of_half_precision_are_computed_in_full(loss):
    output, target = draw(loss, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        each = loss(output.bfloat16(), target)

    assert each.dtype == torch.float32
    assert torch.allclose(each, loss(output.bfloat16().float(), target), atol=1e-5)


def test_a_project_whose_conf_chooses_no_loss_gets_the_shipped_default(root):
    assert Loss() == Loss.model_validate(yaml.safe_load((root / "conf" / "loss" / "default.yaml").read_text()))


# --- through a training -------------------------------------------------------------------------------


def train(project, *overrides, verb="train"):
    assert run_quick(*overrides, verb=verb) == 0
    run = find_run(project)
    return run, read_metrics_log(run / "metrics.csv")[-1]


def read_scale(run):
    return json.loads((run / "bundle" / "bundle.json").read_text())["target"]["scale"]


@pytest.mark.slow
def test_the_validation_loss_is_the_chosen_one(project):
    """The median's pinball loss is half the mean absolute error, in standard deviations."""
    run, last = train(project, "tracker=disabled", "loss=quantile", "loss.function.quantile=0.5")

    assert last["valid/loss"] == pytest.approx(0.5 * last["valid/mae"] / read_scale(run), rel=1e-4)


@pytest.mark.slow
def test_a_huber_loss_of_a_large_delta_is_half_the_squared_error(project):
    run, last = train(project, "tracker=disabled", "loss=huber", "loss.function.delta=1000.0")

    assert last["valid/loss"] == pytest.approx(0.5 * (last["valid/rmse"] / read_scale(run)) ** 2, rel=1e-4)


@pytest.mark.slow
def test_a_poisson_loss_predicts_what_is_above_0_and_its_mean(project):
    """The validation loss is that of the predictions, in units of the mean."""
    overrides = ("loss=poisson", "schedule.max_epochs=6", "schedule.batch_size=256")
    run, last = train(project, "tracker=disabled", *overrides)
    rows = pl.read_parquet(run / "examples" / "valid.parquet")
    mean = pl.read_parquet(run / "examples" / "train.parquet")["label"].mean()

    predicted = load(run).predict(rows)["prediction"].cast(pl.Float64)

    assert read_scale(run) == pytest.approx(mean)
    assert predicted.min() > 0
    assert predicted.mean() == pytest.approx(rows["label"].mean(), rel=0.05)
    deviance = (rows["label"] * (rows["label"] / predicted).log() - rows["label"] + predicted).mean() / mean
    assert last["valid/loss"] == pytest.approx(deviance, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("schedule.shuffle_buffer=256",)], ids=["in memory", "streamed"])
def test_a_poisson_loss_refuses_what_is_no_count(project, capsys, more):
    assert (
        run_quick("tracker=disabled", "loss=poisson", "data.examples.label='MedHouseVal - 1'", *more, verb="train") == 2
    )

    assert "loss.function: PoissonLoss predicts amounts from 0 on" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quantile_is_what_is_predicted(project):
    overrides = ("loss=quantile", "loss.function.quantile=0.9", "schedule.max_epochs=10", "schedule.batch_size=256")
    run, _ = train(project, "tracker=disabled", *overrides, verb="run")
    rows = pl.read_parquet(run / "examples" / "test.parquet")

    below = (rows["label"] < load(run).predict(rows)["prediction"]).mean()

    assert 0.87 < below < 0.93
    assert load(run).recipe.loss.function["quantile"] == 0.9


@pytest.mark.slow
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize(
    ("loss", "key"), [("focal", "gamma"), ("label_smoothing", "label_smoothing")], ids=["focal", "smoothed"]
)
def test_a_loss_that_is_nearly_the_log_loss_reports_the_log_loss(project, task, loss, key):
    """On the way back from probabilities of the validation split to what the loss takes, too."""
    if task == "multiclass":
        predict_relationships(project)

    _, last = train(project, *ADULT, f"loss={loss}", f"loss.function.{key}=1.0e-6")

    assert last["valid/loss"] == pytest.approx(last["valid/log_loss"], rel=1e-4)


def predict_relationships(project):
    data, features = project / "conf/data/adult.yaml", project / "conf/features/adult.yaml"
    text = data.read_text().replace("task: binary", "task: multiclass").replace("income = '>50K'", "relationship")
    data.write_text(text.replace("occupation, relationship,", "occupation,"))
    features.write_text(features.read_text().replace("relationship, ", ""))


@pytest.mark.slow
def test_weights_of_classes_count_in_the_loss_of_training_and_validation(project):
    predict_relationships(project)

    _, last = train(project, *ADULT, "loss.class_weights=balanced", "schedule.max_epochs=4")

    assert last["valid/loss"] > last["valid/log_loss"] + 0.02
    assert last["train/loss"] == pytest.approx(last["valid/loss"], abs=0.05)


OWN_LOSS = """
from typing import Literal

import torch


class Tilted(torch.nn.Module):
    def __init__(self, *, task: Literal["regression"], tilt: float) -> None:
        super().__init__()
        self.register_buffer("tilt", torch.tensor(tilt))

    def forward(self, output, target):
        error = target - output[:, 0]
        return error.square() + self.tilt * error
"""


@pytest.fixture
def own_loss(project, monkeypatch):
    """A module of the user's, with state; it may be built."""
    (project / "own_losses.py").write_text(OWN_LOSS)
    monkeypatch.syspath_prepend(str(project))
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("targets:\n", "targets:\n  - own_losses.\n"))
    (project / "conf" / "loss" / "tilted.yaml").write_text("function: {_target_: own_losses.Tilted, tilt: 0.5}\n")
    forget_sources()
    yield "loss=tilted"
    sys.modules.pop("own_losses", None)
    forget_sources()


@pytest.mark.slow
def test_a_loss_of_the_users_own_trains(project, own_loss):
    """A constant c costs the mean of squares plus 0.5 * (mean - c): predictions come out 0.25 deviations too high."""
    run, last = train(project, "tracker=disabled", own_loss, "schedule.max_epochs=4")
    rows = pl.read_parquet(run / "examples" / "valid.parquet")

    above = (load(run).predict(rows)["prediction"] - rows["label"]).mean() / read_scale(run)

    assert above == pytest.approx(0.25, abs=0.1)
    assert last["valid/loss"] == pytest.approx((last["valid/rmse"] / read_scale(run)) ** 2 - 0.5 * above, abs=1e-3)


@pytest.mark.slow
def test_a_loss_of_the_users_own_is_checked_by_its_source(project, own_loss, capsys):
    assert run_quick("experiment=adult", "tracker=disabled", own_loss, verb="check") == 2
    assert "own_losses.Tilted is for the task 'regression'; data.task is 'binary'" in capsys.readouterr().err
