"""What the rows of a split have at stake, whatever there is to decide about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from treadle.evaluation.intervals import Array
from treadle.evaluation.resampling import Blocks, Floats
from treadle.evaluation.value.findings import Words

Held = NDArray[np.bool_]  # `[B]` which rows are looked at


@dataclass(frozen=True)
class Decided:
    """What a policy does with the rows."""

    gains: Floats  # `[B]`
    shares: Mapping[str, float] = field(default_factory=dict)  # of the rows, by what was decided


class Stakes(Protocol):
    """The rows of a split: what was predicted of them, and what each decision about them gains."""

    @property
    def blocks(self) -> Blocks:
        """Which rows hang together."""

    @property
    def predictions(self) -> Mapping[str, Array]:
        """`[B]`, or `[B, K]` of K classes, by model: the model first, then baselines."""

    @property
    def constants(self) -> Mapping[str, str]:
        """Policies that decide alike for every row, each in words that follow "than"."""

    @property
    def words(self) -> Words:
        """How this kind of decision is told."""

    def choose(self, name: str, held: Held | None = None) -> float | None:
        """The setting of a policy that gains most for some of the rows, else for all; None: nothing is chosen."""

    def decide(self, name: str, setting: float | None) -> Decided:
        """What the decisions by a policy and its setting gain."""

    def list_settings(self, chosen: float | None) -> Sequence[float]:
        """Those of the chart, with the model's; none where nothing is chosen."""

    def find_highest(self, share: float) -> tuple[Array, Held] | None:
        """Whether a row is positive, and which have the highest predictions; None where no row is positive."""
