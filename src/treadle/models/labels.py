"""Models of several labels: a network has a logit for each, of an estimator there is one a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as nnf

from treadle.models.estimator import Estimator, Training
from treadle.models.several import LowestLoss, Several
from treadle.schema import Batch


class LabelEstimators(Several):
    """An estimator of two classes for each label, trained one after the other (binary relevance).

    Source: Read and others, "Classifier chains for multi-label classification", Machine Learning 85 (2011), section 2.

    Shape:
        output: `[B, L]` logits.
    """

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Train each until its own log loss is best; `watch` sees all of them, once."""
        rounds, objective = [], replace(training.objective, task="binary")
        for place, estimator in enumerate(self.estimators):
            own_train, own_valid = (rows._replace(target=rows.target[:, place].contiguous()) for rows in (train, valid))
            cross_entropy = partial(nnf.binary_cross_entropy, target=own_valid.target.double(), reduction="none")
            best = LowestLoss(cross_entropy, weight=valid.weight.double())
            estimator.fit(own_train, own_valid, training=replace(training, objective=objective, watch=best.watch))
            rounds.append(best.rounds)
        shown = (self(rows.numeric, rows.ids).sigmoid() for rows in (train, valid))
        training.watch(rounds=max(rounds), train=next(shown), valid=next(shown))

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """A logit for each label."""
        return self.ask(numeric, ids)


def add_labels(model: nn.Module | Estimator, *, labels: Sequence[str]) -> nn.Module | Estimator:
    """The model as one of several labels; itself where there are none.

    Args:
        model: a network with an output for each label, or an estimator with one output.
        labels: their names.
    """
    return LabelEstimators(model, names=labels) if labels and isinstance(model, Estimator) else model
