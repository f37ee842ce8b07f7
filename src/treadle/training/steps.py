"""Training steps without overhead: only the mathematics, as in a hand-written loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from pytorch_lightning.strategies import Strategy
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from treadle.models.ensemble import Ensemble
from treadle.schema import Batch
from treadle.training.lightning_internals import prepare_backward, read_precision
from treadle.training.schedules import Factor


class Steps:
    """Eager training steps.

    Args:
        network: whose weights change.
        optimizer: of its parameters.
        factor: of the learning rate at each step.
        done: number of steps already taken.
        loss: of the network's output for a batch.
        clip: maximum L2 norm of the gradients, in an ensemble of each member's; None: no clipping.
        strategy: Lightning's, which knows precision and processes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        optimizer: Optimizer,
        factor: Factor,
        done: int,
        loss: Callable[[Tensor, Batch], Tensor],
        clip: float | None,
        strategy: Strategy,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.factor = factor
        self.done = done
        self.loss = loss
        self.clip = clip
        self.strategy = strategy
        self.precision = read_precision(strategy)
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.clipped = _list_clipped(network, self.parameters)

    def take(self, batch: Batch) -> Tensor:
        """Update the weights; return the loss before the update."""
        if self.precision.scaler is not None:
            loss = self._take_scaled(batch, self.precision.scaler)
        elif isinstance(self.optimizer, LBFGS):  # looks at the loss several times in a step
            loss = cast("Tensor", self.optimizer.step(partial(self._differentiate, batch)))
        else:
            loss = self._differentiate(batch)
            self.optimizer.step()
        self.done += 1
        set_rates(self.optimizer, self.factor(self.done))
        return loss

    def settle(self) -> None:
        """Does nothing: see `CompiledSteps`."""

    def _differentiate(self, batch: Batch) -> Tensor:
        """The loss of a batch; its gradients are left in the parameters."""
        loss = self._run(batch)
        loss.backward()
        if self.clip is not None:
            self._clip(self.clip)
        return loss.detach()

    def _clip(self, limit: float) -> None:
        """As `nn.utils.clip_grad_norm_`, for gradients on one device."""
        for parameters in self.clipped:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            if gradients:
                norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # noqa: SLF001 - as torch.optim does
                torch._foreach_mul_(gradients, torch.clamp(limit / (norm + 1e-6), max=1.0))

    def _take_scaled(self, batch: Batch, scaler: torch.amp.GradScaler) -> Tensor:
        """The same with a scaled loss, so that small gradients do not underflow in half precision."""
        loss = self._run(batch)
        scaler.scale(loss).backward()
        if self.clip is not None:
            scaler.unscale_(self.optimizer)
            self._clip(self.clip)
        scaler.step(self.optimizer)
        scaler.update()
        return loss.detach()

    def _run(self, batch: Batch) -> Tensor:
        with self.precision.forward_context():
            loss = self.loss(self.network(*batch.inputs), batch)
        for parameter in self.parameters:  # what optimizer.zero_grad() does, without what a profiler wants to know
            parameter.grad = None
        prepare_backward(self.strategy, loss)
        return loss


def _list_clipped(network: nn.Module, parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Groups of parameters whose gradients are clipped together: all, or each member's in an ensemble."""
    apart = [list(member.parameters()) for member in _list_members(network)]
    taken = {parameter for member in apart for parameter in member}
    rest = [parameter for parameter in parameters if parameter not in taken]
    return [*apart, rest] if rest else apart


def _list_members(network: nn.Module) -> list[nn.Module]:
    """The networks of an ensemble, also of one whose members are ensembles; of another network none."""
    if not isinstance(network, Ensemble):
        return []
    return [single for member in network.members for single in _list_members(member) or [member]]


def set_rates(optimizer: Optimizer, factor: float) -> None:
    """Set each group's learning rate to a multiple of its configured one."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
