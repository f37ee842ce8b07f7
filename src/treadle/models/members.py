"""The network that takes what a row's texts or images became, beside its numbers and categories."""

from __future__ import annotations

from torch import nn

from treadle.errors import TreadleError
from treadle.schema import FitsInputs


def require_unfitted(network: nn.Module, *, what: str) -> None:
    """Refuse one that is fitted to numbers before training.

    Args:
        network: that takes the vector of a text or an image.
        what: it is, for the error.

    Raises:
        TreadleError: the vector has no numbers then.
    """
    if isinstance(network, FitsInputs):
        kind = type(network).__name__
        raise TreadleError(f"model.member: {kind} is fitted to numbers before training, and {what} has none yet")
