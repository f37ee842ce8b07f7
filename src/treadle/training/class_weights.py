"""Weights of classes: rows of a class count more, or less, in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from treadle.experiment.problems import nearest
from treadle.schema import BINARY_CLASSES, Batch, TreadleError

ClassWeights = Literal["balanced"] | Mapping[str, float] | None


def weigh_classes(
    rows: Mapping[str, Batch], class_weights: ClassWeights, *, classes: Sequence[str]
) -> dict[str, Batch]:
    """Multiply the weight of each row by that of its class, in training and in validation.

    Args:
        rows: `train` and `valid`; a target of -1, a class that training has not seen, keeps its weight.
        class_weights: `balanced`: every class of the training split weighs the same in all, and the mean of
            rows stays as it is; or a weight for each class by name, 1 where none is given; None: rows stay as they are.
        classes: of a multiclass task, in the order of their positions; none of a binary one.

    Raises:
        TreadleError: there is no such class.
    """
    if class_weights is None:
        return dict(rows)
    names = list(classes) or list(BINARY_CLASSES)
    factors = (
        _balance(rows["train"], len(names)) if class_weights == "balanced" else _list_weights(class_weights, names)
    )
    factors = torch.cat([factors, torch.ones(1)])  # the last one is that of -1
    return {split: batch._replace(weight=batch.weight * factors[batch.target.long()]) for split, batch in rows.items()}


def _balance(rows: Batch, num_classes: int) -> Tensor:
    sums = torch.zeros(num_classes, dtype=torch.float64).index_add(0, rows.target.long(), rows.weight.double())
    present = sums > 0
    return torch.where(present, sums.sum() / (present.sum() * sums), 1.0).float()


def _list_weights(class_weights: Mapping[str, float], names: Sequence[str]) -> Tensor:
    for name in class_weights:
        if name not in names:
            raise TreadleError(f"loss.class_weights.{name}: no class {name!r}. {nearest(name, names)}")
    return torch.tensor([float(class_weights.get(name, 1.0)) for name in names])
