"""Losses: what a row costs, before the mean by weight. The configuration names one in `loss.function`.

A loss is built with the `task`, whose annotation says which tasks it is for, and is then called with rows.

Shape:
    output: `[M, num_outputs]`, what the network gives: a logit, a logit for each class, or a value.
    target: `[M]`; 0 or 1, the position of a class (-1: of none that is known, which costs nothing), or a value in
        standard deviations of the training split. A loss whose `link` is "log" takes the output for the logarithm of
        the prediction, and the target in units of its mean.
    result: `[M]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as nnf

from treadle.experiment.spec import Experiment
from treadle.metrics.compute import EPSILON
from treadle.schema import Fraction, Link, Positive, Share, Task
from treadle.targets.build import build

Loss = Callable[[Tensor, Tensor], Tensor]  # (output, target) -> result
NO_CLASS = -1  # target of a class that training has not seen


@dataclass(frozen=True, kw_only=True)
class TaskLoss:
    """Log loss of a classification, squared error of a regression.

    Args:
        task: of the experiment.
    """

    task: Task

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        if self.task == "regression":
            return (output[:, 0] - target).square()
        return _log_loss(output, target, task=self.task, label_smoothing=0.0)

    def judge_prediction(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The same, of a prediction `[M]`, or `[M, K]` for K classes."""
        if self.task == "binary":
            return nnf.binary_cross_entropy(prediction.clamp(EPSILON, 1 - EPSILON), target, reduction="none")
        if self.task == "multiclass":
            logs = prediction.clamp(EPSILON, 1).log()
            return nnf.nll_loss(logs, target, reduction="none", ignore_index=NO_CLASS)
        return (prediction - target).square()


@dataclass(frozen=True, kw_only=True)
class SmoothedLogLoss:
    """Log loss against targets that are less sure: probabilities stay away from 0 and 1.

    Args:
        task: of the experiment.
        label_smoothing: share of each target that is spread evenly over all classes.

    Source: "Rethinking the Inception Architecture for Computer Vision", arXiv 1512.00567.
    """

    task: Literal["binary", "multiclass"]
    label_smoothing: Fraction

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        return _log_loss(output, target, task=self.task, label_smoothing=self.label_smoothing)


@dataclass(frozen=True, kw_only=True)
class FocalLoss:
    """Log loss times `(1 - p) ** gamma`, p being the probability of the true class: what is easy counts little.

    Its probabilities are less sure than the shares that are observed: see the calibration, and decide by rank.

    Args:
        task: of the experiment.
        gamma: how fast the weight of an easy row falls; near 0 it is the log loss.

    Source: "Focal Loss for Dense Object Detection", arXiv 1708.02002; its weight alpha is `loss.class_weights`.
    """

    task: Literal["binary", "multiclass"]
    gamma: Positive

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        log_loss = _log_loss(output, target, task=self.task, label_smoothing=0.0)
        miss = -torch.expm1(-log_loss)  # 1 - p, exact where p is near 1
        # At 0 a power below 1 has no gradient.
        return miss.clamp(min=EPSILON).pow(self.gamma) * log_loss


@dataclass(frozen=True, kw_only=True)
class QuantileLoss:
    """Pinball loss: what is predicted is not the mean but the value below which a share `quantile` of targets lies.

    RMSE and R squared still judge it as if it were the mean: only the median can do well by them.

    Args:
        task: of the experiment.
        quantile: share of rows whose target is to lie below the prediction; 0.5 is the median.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978).
    """

    task: Literal["regression"]
    quantile: Share

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        error = target - output[:, 0]
        return torch.maximum(self.quantile * error, (self.quantile - 1) * error)


@dataclass(frozen=True, kw_only=True)
class HuberLoss:
    """Half the squared error up to `delta`, and a straight line from there: outliers pull less.

    Args:
        task: of the experiment.
        delta: error from which the line begins, in standard deviations of the training target.

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964).
    """

    task: Literal["regression"]
    delta: Positive

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        return nnf.huber_loss(output[:, 0].to(target.dtype), target, reduction="none", delta=self.delta)


@dataclass(frozen=True, kw_only=True)
class PoissonLoss:
    """Half the Poisson deviance: an error counts by its share of what is expected, and no prediction is below 0.

    The target is a count, or another amount from 0 on; the output is the logarithm of its mean, which is what is
    predicted. Targets are in units of their mean, and not in standard deviations.

    Args:
        task: of the experiment.

    Source: McCullagh and Nelder, "Generalized Linear Models", 2nd edition (1989), chapter 6.
    """

    task: Literal["regression"]
    link: ClassVar[Link] = "log"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        logarithm = output[:, 0].to(target.dtype)
        return torch.xlogy(target, target) - target - target * logarithm + logarithm.exp()


def build_loss(experiment: Experiment) -> Loss:
    """The loss that is configured."""
    node, targets = experiment.loss.function, experiment.targets
    loss: Loss = build(node, key="loss.function", targets=targets, task=experiment.data.task)
    return loss


def _log_loss(output: Tensor, target: Tensor, *, task: Task, label_smoothing: float) -> Tensor:
    if task == "multiclass":
        return nnf.cross_entropy(
            output, target, reduction="none", ignore_index=NO_CLASS, label_smoothing=label_smoothing
        )
    if label_smoothing > 0:
        target = target * (1 - label_smoothing) + label_smoothing / 2
    return nnf.binary_cross_entropy_with_logits(output[:, 0], target, reduction="none")
