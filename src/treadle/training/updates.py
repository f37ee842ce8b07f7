"""Updates of optimizers as tensor operations that a compiled graph can hold.

The state stays the optimizer's own, and so do the numbers, but for rounding. What depends on the step (rates, bias
corrections) is computed outside of the graph in 64 bits and passed in: `1 - 0.999**t` in 32 bits is wrong by a
thousandth at the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer


class Update(Protocol):
    """One step of a kind of optimizer."""

    def list_factors(self, *, rate: float, step: int) -> tuple[float, ...]:
        """What depends on the step; it is counted from 1."""

    def apply(self, weight: Tensor, gradient: Tensor, *, state: Mapping[str, Tensor], factors: Tensor) -> None:
        """Change the weight and its state in place."""


@dataclass(frozen=True, kw_only=True)
class AdamUpdate:
    """As `torch.optim.Adam` and `torch.optim.AdamW`."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    decoupled: bool  # AdamW: the decay goes past the moments

    def list_factors(self, *, rate: float, step: int) -> tuple[float, ...]:
        """Length of the step, correction of the second moment, what the decay leaves."""
        return (
            rate / (1 - self.beta1**step),
            math.sqrt(1 - self.beta2**step),
            1 - rate * self.weight_decay if self.decoupled else 1.0,
        )

    def apply(self, weight: Tensor, gradient: Tensor, *, state: Mapping[str, Tensor], factors: Tensor) -> None:
        """Change the weight and both moments."""
        length, correction, left = factors.unbind()
        if self.weight_decay != 0 and not self.decoupled:
            gradient = gradient + self.weight_decay * weight
        first = state["exp_avg"] + (1 - self.beta1) * (gradient - state["exp_avg"])
        second = self.beta2 * state["exp_avg_sq"] + (1 - self.beta2) * gradient * gradient
        weight.copy_(weight * left - length * first / (second.sqrt() / correction + self.eps))
        state["exp_avg"].copy_(first)
        state["exp_avg_sq"].copy_(second)


@dataclass(frozen=True, kw_only=True)
class SgdUpdate:
    """As `torch.optim.SGD` from its second step on: the first one makes the momentum."""

    momentum: float
    dampening: float
    nesterov: bool
    weight_decay: float

    def list_factors(self, *, rate: float, step: int) -> tuple[float, ...]:  # noqa: ARG002 - as the protocol
        """The rate."""
        return (rate,)

    def apply(self, weight: Tensor, gradient: Tensor, *, state: Mapping[str, Tensor], factors: Tensor) -> None:
        """Change the weight and its momentum."""
        if self.weight_decay != 0:
            gradient = gradient + self.weight_decay * weight
        if self.momentum != 0:
            momentum = self.momentum * state["momentum_buffer"] + (1 - self.dampening) * gradient
            state["momentum_buffer"].copy_(momentum)
            gradient = gradient + self.momentum * momentum if self.nesterov else momentum
        weight.copy_(weight - factors[0] * gradient)


def find_obstacle(optimizer: Optimizer) -> str | None:
    """Why a graph cannot hold this optimizer's step; None where it can."""
    kind = type(optimizer)  # a class of the user's that inherits from one of these may step otherwise
    if kind not in {Adam, AdamW, SGD}:
        return f"{kind.__module__}.{kind.__qualname__} is none of Adam, AdamW and SGD"
    for group in optimizer.param_groups:
        for option in ("amsgrad", "maximize", "differentiable"):
            if group.get(option):
                return f"{kind.__qualname__} with {option}=true"
        if any(isinstance(value, Tensor) for key, value in group.items() if key != "params"):
            return f"{kind.__qualname__} with a tensor for a setting"
    return None


def read_update(optimizer: Optimizer, group: Mapping[str, Any]) -> Update:
    """The step of one group of an optimizer's parameters; `find_obstacle` has found none."""
    if isinstance(optimizer, SGD):
        return SgdUpdate(**{key: group[key] for key in ("momentum", "dampening", "nesterov", "weight_decay")})
    beta1, beta2 = group["betas"]
    decoupled = isinstance(optimizer, AdamW) or bool(group.get("decoupled_weight_decay"))
    return AdamUpdate(
        beta1=beta1, beta2=beta2, eps=group["eps"], weight_decay=group["weight_decay"], decoupled=decoupled
    )
