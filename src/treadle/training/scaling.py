"""Targets and weights as training wants them: by class, and standardised by what the training split measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.target import measure_target, scale_target
from treadle.schema import Batch, Link
from treadle.training.class_weights import ClassWeights, find_factors
from treadle.training.losses import Loss


@dataclass(frozen=True)
class Scaling:
    """What weights are multiplied by, and targets centred and divided by; as given: nothing changes."""

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
        class_weights: as for `find_factors`.
        classes: of a multiclass task, in the order of their positions; none of a binary one.
        loss: of a regression, whose target is scaled to mean 0 and deviation 1, or to mean 1 where its logarithm is
            predicted; None: of a classification, whose target stays as it is.

    Raises:
        TreadleError: a class does not exist, or the loss is for amounts and some targets are below 0.
    """
    factors = find_factors(read, class_weights, classes=classes)
    if loss is None:
        return Scaling(factors)
    if find_link(loss) == "log":
        return Scaling(factors, 0.0, _measure_amount((target for target, _ in read()), loss=loss))
    return Scaling(factors, *measure_target(lambda: (target for target, _ in read())))


def find_link(loss: Loss) -> Link:
    """How a network's output relates to the prediction under a loss: as its `link` says, else it is the prediction."""
    link: Link = getattr(loss, "link", "identity")
    return link


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
