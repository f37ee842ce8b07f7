"""The target as training wants it: that of a regression with mean 0 and deviation 1, and float32 after that alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from treadle.features.base import ROUNDING


def measure_target(read: Callable[[], Iterable[Tensor]]) -> tuple[float, float]:
    """Mean and deviation of the training rows; a constant target is not scaled.

    Args:
        read: gives the targets, some at a time; it is called twice.
    """
    sums, counts = zip(*((float(part.double().sum()), len(part)) for part in read()), strict=True)
    mean = sum(sums) / sum(counts)
    squares = sum(float((part.double() - mean).square().sum()) for part in read())
    deviation = float((squares / sum(counts)) ** 0.5)
    return mean, deviation if deviation > ROUNDING * abs(mean) else 1.0


def scale_target(target: Tensor, *, mean: float, scale: float) -> Tensor:
    """What is a number as float32; positions of classes stay as they are."""
    return ((target.double() - mean) / scale).float() if target.is_floating_point() else target
