"""Models of several quantiles, which do not cross: a network by construction, estimators by sorting.

Shape:
    output: `[B, Q]`, or `[B, k, Q]` of a network with members: a value for each level, rising.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from treadle.models.estimator import Estimator, Objective, Training
from treadle.models.several import LowestLoss, Several
from treadle.schema import MEDIAN, Batch, FitsInputs


class OrderedNetwork(nn.Module):
    """A network whose outputs become rising quantiles: the median, and steps above and below it that are positive.

    Args:
        network: with one output for each level.
        levels: rising, with the median among them.

    Source: steps by softplus, as in Gasthaus and others, "Probabilistic Forecasting with Spline Quantile Function RNNs"
    (AISTATS 2019).
    """

    def __init__(self, network: nn.Module, *, levels: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.middle = list(levels).index(MEDIAN)

    def fit_inputs(self, numeric: Tensor) -> None:
        """Hand the inputs on."""
        if isinstance(self.network, FitsInputs):
            self.network.fit_inputs(numeric)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Quantiles on the scale of the target; sums in float32, in which steps are not lost."""
        output: Tensor = self.network(*inputs).float()
        median = output[..., self.middle : self.middle + 1]
        below, above = nnf.softplus(output[..., : self.middle]), nnf.softplus(output[..., self.middle + 1 :])
        lower = median - below.flip(-1).cumsum(-1).flip(-1)
        return torch.cat([lower, median, median + above.cumsum(-1)], dim=-1)


class LevelEstimators(Several):
    """An estimator for each level, trained one after the other; where their quantiles cross, they are sorted.

    Source: Chernozhukov, Fernandez-Val and Galichon, "Quantile and Probability Curves Without Crossing",
    Econometrica 78 (2010).
    """

    def __init__(self, estimator: Estimator, *, levels: Sequence[float]) -> None:
        super().__init__(estimator, names=[f"{level:g}" for level in levels])
        self.levels = list(levels)
        self.crossed = 0.0  # share of the validation rows that were sorted

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Train each until its own pinball loss is best; `watch` sees all of them, once."""
        rounds = []
        for level, estimator in zip(self.levels, self.estimators, strict=True):
            pinball = partial(_compute_pinball, target=valid.target.double(), level=level)
            best = LowestLoss(pinball, weight=valid.weight)
            objective = Objective(training.objective.task, "quantile", level)
            estimator.fit(train, valid, training=replace(training, objective=objective, watch=best.watch))
            rounds.append(best.rounds)
        raw = self.ask(valid.numeric, valid.ids)
        self.crossed = float((raw.diff(dim=1) < 0).any(dim=1).double().mean())
        training.watch(rounds=max(rounds), train=self(train.numeric, train.ids), valid=raw.sort(dim=1).values)

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Quantiles on the scale of the target."""
        return self.ask(numeric, ids).sort(dim=1).values


def _compute_pinball(prediction: Tensor, *, target: Tensor, level: float) -> Tensor:
    error = target - prediction
    return torch.maximum(level * error, (level - 1) * error)


def add_levels(model: nn.Module | Estimator, *, levels: Sequence[float]) -> nn.Module | Estimator:
    """The model as one of several quantiles; itself where there are no levels.

    Args:
        model: a network with an output for each level, or an estimator with one output.
        levels: rising.
    """
    if not levels:
        return model
    if isinstance(model, Estimator):
        return LevelEstimators(model, levels=levels)
    return OrderedNetwork(model, levels=levels)
