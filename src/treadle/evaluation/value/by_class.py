"""One of several decisions for each row, whose gain depends on the class that is true.

A model takes the decision of the highest expected gain by its probabilities (Elkan, "The foundations of cost-sensitive
learning", 2001): nothing is chosen on the validation split, and the better they are calibrated the more it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treadle.evaluation.intervals import Array
from treadle.evaluation.resampling import Blocks, Floats
from treadle.evaluation.value.findings import Words
from treadle.evaluation.value.stakes import Decided, Held

_ALWAYS = "always_"  # then a decision: a policy for every row
_WORDS = Words(
    setting=None,
    rule="where the model takes, for each row, the decision whose gain it expects to be highest by its probabilities",
    axis="",
)


@dataclass(frozen=True)
class ByClass:
    """The rows of a split: what each decision gains, and would gain if a class were true."""

    decisions: Sequence[str]  # D names
    expected: NDArray[np.float64]  # `[B, D, K]` gain of a decision if a class that the model knows were true
    gained: Floats  # `[B, D]` gain of a decision by the class that is true
    predictions: Mapping[str, Array]  # `[B, K]` by model
    blocks: Blocks

    @property
    def constants(self) -> Mapping[str, str]:
        """Each decision for every row."""
        return {f"{_ALWAYS}{name}": f"always to decide {name!r}" for name in self.decisions}

    @property
    def words(self) -> Words:
        """Of expected gains."""
        return _WORDS

    def choose(self, name: str, held: Held | None = None) -> float | None:  # noqa: ARG002 - nothing is chosen
        """Nothing is chosen."""
        return None

    def decide(self, name: str, setting: float | None) -> Decided:  # noqa: ARG002 - nothing was chosen
        """By the highest expected gain; of equal ones the first."""
        if name in self.predictions:
            means = np.einsum("bdk,bk->bd", self.expected, self.predictions[name].astype(np.float64))
            taken = means.argmax(axis=1)
        else:
            taken = np.full(len(self.gained), self.decisions.index(name.removeprefix(_ALWAYS)))
        shares = np.bincount(taken, minlength=len(self.decisions)) / len(taken)
        return Decided(
            self.gained[np.arange(len(taken)), taken], dict(zip(self.decisions, shares.tolist(), strict=True))
        )

    def list_settings(self, chosen: float | None) -> Sequence[float]:  # noqa: ARG002 - nothing was chosen
        """None."""
        return ()

    def find_highest(self, share: float) -> tuple[Array, Held] | None:  # noqa: ARG002 - of no row
        """No row is positive."""
        return None
