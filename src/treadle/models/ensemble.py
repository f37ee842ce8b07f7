"""Ensemble: networks of one kind side by side, each with first weights of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.schema import Count, FitsInputs


class Ensemble(nn.Module):
    """Every member judges each row; they are averaged as probabilities, and each is trained by its own loss.

    All see the same batches. Member i begins as the network of a run with `seed + i` does, and its gradients are those
    of training it alone; clipping, too, looks at each member by itself. The best epoch is that of all together.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`.
        output: `[B, members, num_outputs]`; where a member has k of its own, `[B, members * k, num_outputs]`.

    Args:
        num_numeric: columns of numbers.
        cardinalities: number of different ids of each column of categories.
        num_outputs: numbers that come out for a row.
        members: how many.
        member: the kind of network; a `_target_` of its own. One whose weights all begin at 0 gains nothing.

    Source: "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", arXiv 1612.01474.
    """

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        members: Count,
        member: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        inputs = {"num_numeric": num_numeric, "cardinalities": cardinalities, "num_outputs": num_outputs}
        first = torch.initial_seed()
        with torch.random.fork_rng(devices=[]):
            self.members = nn.ModuleList(_make_member(member, inputs, seed=first + index) for index in range(members))

    def fit_inputs(self, numeric: Tensor) -> None:
        """Let each member learn from the numbers `[M, N]` of the training rows what it wants to know of them."""
        for member in self.members:
            if isinstance(member, FitsInputs):
                member.fit_inputs(numeric)

    def forward(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Every member's output."""
        outputs = [member(numeric, ids) for member in self.members]
        each = torch.cat([output if output.dim() == 3 else output[:, None] for output in outputs], dim=1)  # noqa: PLR2004 - see the shapes
        return _MultiplyGradient.apply(each, len(outputs))  # type: ignore[no-untyped-call]


def _make_member(member: Callable[..., nn.Module], inputs: dict[str, Any], *, seed: int) -> nn.Module:
    torch.manual_seed(seed % 2**63)
    network = member(**inputs)
    if not isinstance(network, nn.Module):
        raise TreadleError(f"model.member: must be a torch.nn.Module, found {type(network).__name__}")
    return network


class _MultiplyGradient(torch.autograd.Function):
    """The mean over members in the loss divides the gradient of each by their number; here it is whole again."""

    @staticmethod
    def forward(output: Tensor, factor: int) -> Tensor:  # noqa: ARG004 - of the way back
        """Change nothing."""
        return output.view_as(output)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004 - torch's signature
        """Keep the factor."""
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply."""
        return gradients[0] * ctx.factor, None
