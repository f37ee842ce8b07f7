"""Deep ensemble: networks of one architecture, each with its own initial weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.schema import Count, FitsInputs, ImageSpan, TokenSpan


class Ensemble(nn.Module):
    """The predictions of all members (probabilities, not logits) are averaged; each is trained on its own loss.

    All are trained on the same batches. Member i is initialised as the network of a run with `seed + i`, and its
    gradients are those of training it alone, clipped by themselves. The best epoch is that of the whole ensemble.

    Shape:
        numeric: `[B, N]`; ids: `[B, C]`; pixels: `[B, P]`, where rows have images.
        output: `[B, members, num_outputs]`; where a member has k of its own, `[B, members * k, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        texts: which inputs of ids are the tokens of one text, for members that read them.
        images: where the images of a row are among its pixels, for members that look at them.
        members: number of networks.
        member: the network, a `_target_` of its own. One whose weights are initialised to 0 gains nothing.

    Source: "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", arXiv 1612.01474.
    """

    HANDS_ON: ClassVar[bool] = True  # texts and images, which `member` must read

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        texts: Sequence[TokenSpan] = (),
        images: Sequence[ImageSpan] = (),
        members: Count,
        member: Callable[..., nn.Module],
    ) -> None:
        super().__init__()
        inputs = {"num_numeric": num_numeric, "cardinalities": cardinalities, "num_outputs": num_outputs}
        inputs |= {name: spans for name, spans in (("texts", texts), ("images", images)) if spans}
        first = torch.initial_seed()
        with torch.random.fork_rng(devices=[]):
            self.members = nn.ModuleList(_make_member(member, inputs, seed=first + index) for index in range(members))

    def fit_inputs(self, numeric: Tensor) -> None:
        """Fit those members that fit their inputs, to the numeric inputs `[M, N]` of the training rows."""
        for member in self.members:
            if isinstance(member, FitsInputs):
                member.fit_inputs(numeric)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The outputs of all members."""
        outputs = [member(*inputs) for member in self.members]
        each = torch.cat([output if output.dim() == 3 else output[:, None] for output in outputs], dim=1)  # noqa: PLR2004 - see the shapes
        return _MultiplyGradient.apply(each, len(outputs))  # type: ignore[no-untyped-call]


def _make_member(member: Callable[..., nn.Module], inputs: dict[str, Any], *, seed: int) -> nn.Module:
    torch.manual_seed(seed % 2**63)
    network = member(**inputs)
    if not isinstance(network, nn.Module):
        raise TreadleError(f"model.member: must be a torch.nn.Module, found {type(network).__name__}")
    return network


class _MultiplyGradient(torch.autograd.Function):
    """Multiply the gradient by the number of members, by which the mean over members in the loss divides it."""

    @staticmethod
    def forward(output: Tensor, factor: int) -> Tensor:  # noqa: ARG004 - of the backward pass
        """Identity."""
        return output.view_as(output)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004 - torch's signature
        """Keep the factor."""
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply."""
        return gradients[0] * ctx.factor, None
