"""From a regression's prediction to what its network gives: the prediction itself, or the logarithm of an amount."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from treadle.errors import TreadleError
from treadle.features.target import measure_target
from treadle.schema import Link
from treadle.training.losses import Loss


def find_link(loss: Loss) -> Link:
    """What a loss takes the output for: as its `link` says, and without one for the prediction."""
    link: Link = getattr(loss, "link", "identity")
    return link


def measure(read: Callable[[], Iterable[Tensor]], *, loss: Loss | None) -> tuple[float, float]:
    """What targets are centred and divided by.

    Args:
        read: gives the targets of the training rows, some at a time; it may be called twice.
        loss: of a regression, which may predict amounts by their logarithm; None: the targets stay as they are.

    Raises:
        TreadleError: the loss is for amounts, and some targets are below 0.
    """
    if loss is None:
        return 0.0, 1.0
    return _measure_amount(read(), loss=loss) if find_link(loss) == "log" else measure_target(read)


def _measure_amount(targets: Iterable[Tensor], *, loss: Loss) -> tuple[float, float]:
    """What targets whose logarithm is predicted are centred and divided by: 0, and their mean.

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
    return 0.0, total / num_rows if total > 0 else 1.0
