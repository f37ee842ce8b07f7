"""Weights of classes: rows of a class count more, or less, in the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.hints import nearest
from treadle.schema import BINARY_CLASSES

ClassWeights = Literal["balanced"] | Mapping[str, float] | None


def find_factors(
    read: Callable[[], Iterable[tuple[Tensor, Tensor]]], class_weights: ClassWeights, *, classes: Sequence[str]
) -> Tensor | None:
    """The factor of each class's weights, that of -1 (a class that training has not seen) at the end: 1.

    Args:
        read: gives target and weight of the rows of the training split, some at a time.
        class_weights: `balanced`: every class of the training split weighs the same in all, and the mean weight of
            rows stays as it is; or a weight for each class by name, 1 where none is given; None: weights stay as they
            are, and so is the result.
        classes: of a multiclass task, in the order of their positions; none of a binary one.

    Raises:
        TreadleError: there is no such class.
    """
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
