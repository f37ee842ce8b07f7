"""Scaling of targets and weights: targets standardised by the training split, weights multiplied by class weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.target import measure_target, scale_target
from treadle.hints import nearest
from treadle.schema import BINARY_CLASSES, Batch, Link
from treadle.training.losses import Loss

ClassWeights = Literal["balanced"] | Mapping[str, float] | None


@dataclass(frozen=True)
class Scaling:
    """What weights are multiplied by, and targets centred and divided by."""

    factors: Tensor | None = None  # of weights, by class; None: weights stay as they are
    mean: float = 0.0
    scale: float = 1.0

    def apply(self, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Target and weight of some rows."""
        if self.factors is not None:
            weight = weight * self.factors[target.long()]
        return scale_target(target, mean=self.mean, scale=self.scale), weight

    def apply_to_rows(self, rows: Batch) -> Batch:
        """The same rows, their targets and weights scaled."""
        target, weight = self.apply(rows.target, rows.weight)
        return rows._replace(target=target, weight=weight)


def measure_scaling(
    read: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    class_weights: ClassWeights,
    *,
    classes: Sequence[str],
    loss: Loss | None,
) -> Scaling:
    """Measure the training split.

    Args:
        read: gives target and weight of its rows, some at a time; is called up to three times.
        class_weights: `balanced`: every class of the training split weighs the same in all, and the mean weight of
            rows stays as it is; or a weight for each class by name, 1 where none is given; None: weights stay.
        classes: of a multiclass task, in the order of their positions; none of a binary one.
        loss: of a regression, whose target is scaled to mean 0 and deviation 1, or to mean 1 where its logarithm is
            predicted; None: of a classification, whose target stays as it is.

    Raises:
        TreadleError: a class does not exist, or the loss is for amounts and some targets are below 0.
    """
    factors = _find_factors(read, class_weights, classes=classes)
    if loss is None:
        return Scaling(factors)
    if find_link(loss) == "log":
        return Scaling(factors, 0.0, _measure_amount((target for target, _ in read()), loss=loss))
    return Scaling(factors, *measure_target(lambda: (target for target, _ in read())))


def find_link(loss: Loss) -> Link:
    """How a network's output relates to the prediction under a loss: as its `link` says, else it is the prediction."""
    link: Link = getattr(loss, "link", "identity")
    return link


def find_levels(loss: Loss) -> list[float]:
    """The levels of the quantiles that a model predicts under a loss; none where it predicts one value."""
    return list(getattr(loss, "levels", []))


def _measure_amount(targets: Iterable[Tensor], *, loss: Loss) -> float:
    """What targets whose logarithm is predicted are divided by: their mean.

    Raises:
        TreadleError: some are below 0.
    """
    total, num_rows, num_below, lowest = 0.0, 0, 0, 0.0
    for target in targets:
        total += float(target.double().sum())
        num_rows += len(target)
        num_below += int((target < 0).sum())
        lowest = min(lowest, float(target.min()))
    if num_below:
        raise TreadleError(
            f"loss.function: {type(loss).__name__} predicts amounts from 0 on, such as counts; the label is below 0 in "
            f"{num_below:,} of {num_rows:,} training rows, down to {lowest:g}. Add the override loss=default"
        )
    return total / num_rows if total > 0 else 1.0


def _find_factors(
    read: Callable[[], Iterable[tuple[Tensor, Tensor]]], class_weights: ClassWeights, *, classes: Sequence[str]
) -> Tensor | None:
    """The factor of each class's weights, that of -1 (a class that training has not seen) at the end: 1."""
    if class_weights is None:
        return None
    names = list(classes) or list(BINARY_CLASSES)
    factors = _balance(read(), len(names)) if class_weights == "balanced" else _list_weights(class_weights, names)
    return torch.cat([factors, torch.ones(1)])


def _balance(parts: Iterable[tuple[Tensor, Tensor]], num_classes: int) -> Tensor:
    sums = torch.zeros(num_classes, dtype=torch.float64)
    for target, weight in parts:
        sums.index_add_(0, target.long(), weight.double())
    present = sums > 0
    return torch.where(present, sums.sum() / (present.sum() * sums), 1.0).float()


def _list_weights(class_weights: Mapping[str, float], names: Sequence[str]) -> Tensor:
    for name in class_weights:
        if name not in names:
            raise TreadleError(f"loss.class_weights.{name}: no class {name!r}. {nearest(name, names)}")
    return torch.tensor([float(class_weights.get(name, 1.0)) for name in names])
