"""Operators that ONNX lacks, or makes slow, by others that it has: their numbers, within the last digits of float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Rational approximations of the normal quantile by numerator and denominator, lowest power first: the middle, the
# tails, and what lies farther out. Source: Wichura, "Algorithm AS 241: The Percentage Points of the Normal
# Distribution", Applied Statistics 37 (1988), PPND16: 16 digits.
_MIDDLE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def find_places(
    edges: Tensor,
    values: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """`torch.searchsorted` by bisection: the same integers, by as many gathers as the edges have binary digits.

    Shape:
        edges: `[q]`, or `[..., q]` with the leading dimensions of `values`; ascending.
        values: `[..., B]`.
        output: as `values`.
    """
    assert sorter is None, "no transform sorts by another tensor"
    is_right = right or side == "right"
    size = edges.shape[-1]
    low = torch.zeros_like(values, dtype=torch.int64)
    for bit in reversed(range(size.bit_length())):
        step = 1 << bit  # the place grows by it where all edges up to there are below the value
        place = low + step
        edge = _take(edges, place.clamp(max=size) - 1)
        is_below = edge <= values if is_right else edge < values
        # NaN stands behind all edges, as torch has it.
        is_below = (is_below | values.isnan()) & (place <= size)
        low = torch.where(is_below, place, low)
    return low.to(torch.int32) if out_int32 else low


def _take(edges: Tensor, places: Tensor) -> Tensor:
    return edges[places] if edges.dim() == 1 else edges.gather(-1, places)


def invert_erf(values: Tensor) -> Tensor:
    """`torch.erfinv`, within 1e-15 of the value: beyond ±1 it is NaN, and infinite there."""
    wide = values.double()
    half = wide / 2
    middle = half * _divide(0.180625 - half * half, _MIDDLE)
    share = (0.5 - half.abs()).clamp(min=0.0)
    root = (-share.clamp(min=1e-300).log()).sqrt()
    tail = torch.where(root <= 5.0, _divide(root - 1.6, _TAIL), _divide(root - 5.0, _FAR))  # noqa: PLR2004 - see the source
    tail = torch.where(share > 0, tail, torch.inf) * half.sign()
    found = torch.where(half.abs() <= 0.425, middle, tail) * 0.5**0.5  # noqa: PLR2004 - see the source
    return torch.where(wide.abs() <= 1, found, torch.nan).to(values.dtype)


def _divide(values: Tensor, fraction: tuple[Sequence[float], Sequence[float]]) -> Tensor:
    above, below = (_evaluate(values, weights) for weights in fraction)
    return above / below


def _evaluate(values: Tensor, weights: Sequence[float]) -> Tensor:
    """A polynomial, by Horner's rule."""
    total = torch.full_like(values, weights[-1])
    for weight in reversed(weights[:-1]):
        total = total * values + weight
    return total


def stack_columns(tensors: Sequence[Tensor]) -> Tensor:
    """`torch.column_stack`, of which torch's exporter makes a loop, a fifth of the time of a small TabM."""
    return torch.cat([tensor if tensor.dim() > 1 else tensor.reshape(-1, 1) for tensor in tensors], dim=1)


DECOMPOSITIONS: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.column_stack.default: stack_columns,
    torch.ops.aten.searchsorted.Tensor: find_places,
    torch.ops.aten.bucketize.Tensor: lambda values, edges, **how: find_places(edges, values, **how),
    torch.ops.aten.erfinv.default: invert_erf,
}
