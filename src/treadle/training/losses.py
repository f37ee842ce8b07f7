"""Losses of each row, before the weighted mean. The configuration names one in `loss.function`.

A loss is built with the `task`, whose annotation lists the tasks that it is for, and is then called with rows.

Shape:
    output: `[M, num_outputs]` of the network: a logit, a logit for each class or label, a value, or a value for each
        level.
    target: `[M]`; 0 or 1, the position of a class (-1: an unknown class, whose loss is 0), or a value in
        standard deviations of the training split; `[M, L]` of L labels, 0 or 1. A loss whose `link` is "log" takes the
        output for the logarithm of the prediction, and the target in units of its mean.
    result: `[M]`.

A loss that learns from a teacher, too, has the constant `ASKS_TEACHER` and a method `learn(output, target, taught)`;
`taught` is what the teacher predicts: `[M]` probabilities or values on the scale of the targets, or `[M, K]`
probabilities of K classes or labels.

The constant `OBJECTIVE` of a class names it for models that train themselves, such as trees (`models/estimator.py`),
for all tasks or by task; a loss without one is for networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as nnf

from treadle.experiment.spec import Experiment
from treadle.metrics.registry import EPSILON
from treadle.schema import Fraction, Link, Part, Positive, Share, Task
from treadle.targets.build import build
from treadle.tasks import TRAITS

Loss = Callable[[Tensor, Tensor], Tensor]  # (output, target) -> result
NO_CLASS = -1  # target of a class that training has not seen


@dataclass(frozen=True, kw_only=True)
class TaskLoss:
    """Log loss of a classification, squared error of a regression, half the Poisson deviance of a count.

    Of several labels the mean log loss over them.

    Args:
        task: of the experiment.
    """

    OBJECTIVE: ClassVar[dict[Task, str]] = {
        "binary": "default",
        "multiclass": "default",
        "multilabel": "default",
        "regression": "default",
        "count": "poisson",
    }

    task: Task

    @property
    def link(self) -> Link:
        """How the output relates to the prediction."""
        return TRAITS[self.task].link

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        if not TRAITS[self.task].is_value:
            return _average_labels(_log_loss(output, target, task=self.task, label_smoothing=0.0))
        if self.link == "log":
            return _poisson_loss(output[:, 0].to(target.dtype), target)
        return (output[:, 0] - target).square()

    def of_prediction(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The same, of a prediction `[M]`, or `[M, K]` for K classes or labels."""
        activation = TRAITS[self.task].activation
        if activation == "sigmoid":
            each = nnf.binary_cross_entropy(prediction.clamp(EPSILON, 1 - EPSILON), target, reduction="none")
            return _average_labels(each)
        if activation == "softmax":
            logs = prediction.clamp(EPSILON, 1).log()
            return nnf.nll_loss(logs, target, reduction="none", ignore_index=NO_CLASS)
        if self.link == "log":
            return _poisson_loss(prediction.clamp(min=EPSILON).log(), target)
        return (prediction - target).square()


@dataclass(frozen=True, kw_only=True)
class SmoothedLogLoss:
    """Log loss with label smoothing: probabilities are kept away from 0 and 1.

    Args:
        task: of the experiment.
        label_smoothing: fraction of each target that is spread evenly over all classes.

    Source: "Rethinking the Inception Architecture for Computer Vision", arXiv 1512.00567.
    """

    task: Literal["binary", "multiclass", "multilabel"]
    label_smoothing: Fraction

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        return _average_labels(_log_loss(output, target, task=self.task, label_smoothing=self.label_smoothing))


@dataclass(frozen=True, kw_only=True)
class FocalLoss:
    """Log loss times `(1 - p) ** gamma`, p being the probability of the true class: easy rows count little.

    Its probabilities are underconfident: see the calibration, and decide by rank.

    Args:
        task: of the experiment.
        gamma: focusing parameter: how fast the weight of an easy row falls; near 0 it is the log loss.

    Source: "Focal Loss for Dense Object Detection", arXiv 1708.02002; its weight alpha is `loss.class_weights`.
    """

    task: Literal["binary", "multiclass", "multilabel"]
    gamma: Positive

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        log_loss = _log_loss(output, target, task=self.task, label_smoothing=0.0)
        miss = -torch.expm1(-log_loss)  # 1 - p, exact where p is near 1
        # At 0 a power below 1 has no gradient.
        return _average_labels(miss.clamp(min=EPSILON).pow(self.gamma) * log_loss)


@dataclass(frozen=True, kw_only=True)
class WeightedLogLoss:
    """Log loss of several labels, in which the ones of a label count more than its zeros: for labels that are rare.

    Its probabilities are too high where a weight is above 1: see the calibration, and `evaluation.calibrate`.

    Args:
        task: of the experiment.
        positive_weights: of the ones of each label, in the order of `data.examples.label`; 1: as the log loss.

    Source: `pos_weight` of `torch.nn.BCEWithLogitsLoss`.
    """

    task: Literal["multilabel"]
    positive_weights: Annotated[list[Positive], Field(min_length=2)]

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        weights = torch.tensor(self.positive_weights, dtype=output.dtype, device=output.device)
        return _average_labels(
            nnf.binary_cross_entropy_with_logits(output, target, reduction="none", pos_weight=weights)
        )


@dataclass(frozen=True, kw_only=True)
class QuantileLoss:
    """Pinball loss: the prediction is a quantile of the target in place of its mean.

    RMSE and R squared still evaluate it as a mean: only a median can do well by them.

    Args:
        task: of the experiment.
        quantile: fraction of targets that are to be below the prediction; 0.5: the median.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978).
    """

    OBJECTIVE: ClassVar[str] = "quantile"

    task: Literal["regression"]
    quantile: Share

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        error = target - output[:, 0]
        return torch.maximum(self.quantile * error, (self.quantile - 1) * error)


@dataclass(frozen=True, kw_only=True)
class QuantilesLoss:
    """The mean pinball loss of several quantiles of the target, which one model predicts and which do not cross.

    The prediction is the median; metrics, checks and charts of a regression are of it.

    Args:
        task: of the experiment.
        levels: of the quantiles, rising, with the median 0.5: fractions of targets that are to be below each.

    Shape:
        output: `[M, Q]`.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46 (1978).
    """

    OBJECTIVE: ClassVar[str] = "quantiles"

    task: Literal["regression"]
    levels: Annotated[list[Share], Field(min_length=2, max_length=99)]

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        levels = torch.tensor(self.levels, dtype=target.dtype, device=target.device)
        error = target[:, None] - output.to(target.dtype)
        return torch.maximum(levels * error, (levels - 1) * error).mean(dim=1)


@dataclass(frozen=True, kw_only=True)
class HuberLoss:
    """Half the squared error up to `delta`, linear beyond it: robust against outliers.

    Args:
        task: of the experiment.
        delta: error from which the loss is linear [standard deviations of the training target].

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35 (1964).
    """

    OBJECTIVE: ClassVar[str] = "huber"

    task: Literal["regression"]
    delta: Positive

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        return nnf.huber_loss(output[:, 0].to(target.dtype), target, reduction="none", delta=self.delta)


@dataclass(frozen=True, kw_only=True)
class PoissonLoss:
    """Half the Poisson deviance, for counts and other amounts from 0 on; predictions are above 0.

    The output is the logarithm of the predicted mean. Targets are in units of their mean, not in standard deviations.

    Args:
        task: of the experiment.

    Source: McCullagh and Nelder, "Generalized Linear Models", 2nd edition (1989), chapter 6.
    """

    task: Literal["regression", "count"]
    OBJECTIVE: ClassVar[str] = "poisson"
    link: ClassVar[Link] = "log"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        return _poisson_loss(output[:, 0].to(target.dtype), target)


@dataclass(frozen=True, kw_only=True)
class TweedieLoss:
    """Half the Tweedie deviance, for amounts that are often 0 and else of any size, such as claims or rain.

    The output is the logarithm of the predicted mean. Targets are in units of their mean, not in standard deviations.

    Args:
        task: of the experiment.
        power: by which the variance grows with the mean; near 1 as of counts, near 2 as of amounts that are never 0.

    Source: Jorgensen, "Exponential Dispersion Models", Journal of the Royal Statistical Society B 49 (1987).
    """

    task: Literal["regression", "count"]
    power: Annotated[float, Field(gt=1, lt=2)]
    OBJECTIVE: ClassVar[str] = "tweedie"
    link: ClassVar[Link] = "log"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row."""
        logarithm, first, second = output[:, 0].to(target.dtype), 1 - self.power, 2 - self.power
        own = target.pow(second) / (first * second)
        return own - target * (first * logarithm).exp() / first + (second * logarithm).exp() / second


@dataclass(frozen=True, kw_only=True)
class DistillationLoss:
    """Knowledge distillation: a share of the loss is against what a teacher predicts, `loss.teacher`.

    The teacher's probabilities tell more of a row than its label. Called without them, as by the validation, it is the
    loss against the label: log loss, squared error, or half the Poisson deviance of a count.

    Args:
        task: of the experiment.
        alpha: share of the labels in the loss; the teacher has the rest. 1: as without a teacher.
        temperature: by which the logits of both are divided where they are compared; above 1 small probabilities count
            more. It has no effect on a regression or a count.

    Source: "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.
    """

    ASKS_TEACHER: ClassVar[bool] = True

    task: Task
    alpha: Part
    temperature: Positive

    @property
    def link(self) -> Link:
        """As without a teacher."""
        return TRAITS[self.task].link

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row against its label."""
        return TaskLoss(task=self.task)(output, target)

    def learn(self, output: Tensor, target: Tensor, taught: Tensor) -> Tensor:
        """The loss of each row against its label and the teacher."""
        if self.alpha == 1:
            return self(output, target)
        soft = self._compare(output, taught)
        return soft if self.alpha == 0 else self.alpha * self(output, target) + (1 - self.alpha) * soft

    def _compare(self, output: Tensor, taught: Tensor) -> Tensor:
        """Cross-entropy of both at the temperature, by whose square it is multiplied: so gradients keep their size."""
        traits, heat = TRAITS[self.task], self.temperature
        if traits.is_value:
            return TaskLoss(task=self.task)(output, taught)
        if traits.activation == "sigmoid":
            wanted = taught if heat == 1 else (taught.logit(EPSILON) / heat).sigmoid()
            logits = _take_logits(output, taught) / heat
            return heat**2 * _average_labels(nnf.binary_cross_entropy_with_logits(logits, wanted, reduction="none"))
        wanted = taught if heat == 1 else (taught.clamp(min=EPSILON).log() / heat).softmax(dim=1)
        return heat**2 * nnf.cross_entropy(output / heat, wanted, reduction="none")


def build_loss(experiment: Experiment) -> Loss:
    """The loss that is configured."""
    node, targets = experiment.loss.function, experiment.targets
    loss: Loss = build(node, key="loss.function", targets=targets, task=experiment.data.answer)
    return loss


def _poisson_loss(logarithm: Tensor, target: Tensor) -> Tensor:
    """Half the deviance, by the logarithm of the mean."""
    return torch.xlogy(target, target) - target - target * logarithm + logarithm.exp()


def _average_labels(each: Tensor) -> Tensor:
    """`[M]` the mean over labels of what is `[M, L]`; what is `[M]` as it is."""
    return each.mean(dim=1) if each.dim() == 2 else each  # noqa: PLR2004 - see the shapes


def _log_loss(output: Tensor, target: Tensor, *, task: Task, label_smoothing: float) -> Tensor:
    """`[M]`, or `[M, L]` of several labels."""
    if TRAITS[task].activation == "softmax":
        return nnf.cross_entropy(
            output, target, reduction="none", ignore_index=NO_CLASS, label_smoothing=label_smoothing
        )
    if label_smoothing > 0:
        target = target * (1 - label_smoothing) + label_smoothing / 2
    return nnf.binary_cross_entropy_with_logits(_take_logits(output, target), target, reduction="none")


def _take_logits(output: Tensor, target: Tensor) -> Tensor:
    """In the shape of the targets: `[M]`, or `[M, L]` of several labels."""
    return output if target.dim() == 2 else output[:, 0]  # noqa: PLR2004 - see the shapes
