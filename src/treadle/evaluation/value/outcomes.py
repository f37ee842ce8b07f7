"""To act on a row or to leave it alone, by a threshold: each of the four outcomes has a gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from treadle.evaluation.evaluated import MODEL
from treadle.evaluation.intervals import Array
from treadle.evaluation.resampling import Blocks, Floats
from treadle.evaluation.value.findings import Words
from treadle.evaluation.value.stakes import Decided, Held

_THRESHOLDS = 40  # of the curve, at quantiles of the predictions
_WORDS = Words(
    setting="threshold",
    rule="at the threshold that was best on the validation split, from which on the model acts",
    axis="threshold",
)


@dataclass(frozen=True)
class Outcomes:
    """The rows of a split: what acting and leaving them alone gains, and how probable a positive one is."""

    acting: Floats  # `[B]`
    leaving: Floats  # `[B]`
    predictions: Mapping[str, Array]  # `[B]` by model
    target: Array  # `[B]`
    blocks: Blocks

    @property
    def constants(self) -> Mapping[str, str]:
        """To act never, or always."""
        return {"never": "to act never", "always": "to act always"}

    @property
    def words(self) -> Words:
        """Of thresholds."""
        return _WORDS

    def choose(self, name: str, held: Held | None = None) -> float | None:
        """The threshold that gains most; None: never to act."""
        if name not in self.predictions:
            return {"never": None, "always": 0.0}[name]
        rows = slice(None) if held is None else held
        return find_threshold(self.predictions[name][rows], (self.acting - self.leaving)[rows])

    def decide(self, name: str, setting: float | None) -> Decided:
        """By a model from its threshold on."""
        chances = self.predictions.get(name, self.predictions[MODEL])
        acts = np.zeros(len(self.target), dtype=bool) if setting is None else chances >= setting
        return Decided(np.where(acts, self.acting, self.leaving), {"act": float(acts.mean())})

    def list_settings(self, chosen: float | None) -> Sequence[float]:
        """Quantiles of the probabilities."""
        chances = self.predictions[MODEL].astype(np.float64)
        levels = np.quantile(chances, np.linspace(0, 1, _THRESHOLDS))
        found: list[float] = np.unique(np.append(levels, [] if chosen is None else [chosen])).tolist()
        return found

    def find_highest(self, share: float) -> tuple[Array, Held] | None:
        """By the model's probabilities."""
        chances = self.predictions[MODEL]
        count = max(1, round(share * len(chances)))
        return self.target, chances >= np.partition(chances, -count)[-count]


def find_threshold(chances: Array, advantage: Floats) -> float | None:
    """The probability from which on acting gains most; None where it is best never to act.

    Args:
        chances: `[B]` probability of a positive row.
        advantage: `[B]` what acting gains over leaving the row alone.

    >>> find_threshold(np.array([0.9, 0.8, 0.3, 0.1]), np.array([5.0, -1.0, 2.0, -4.0]))
    0.3
    """
    order = np.argsort(-chances, kind="stable")
    falling = chances[order]
    sums = np.cumsum(advantage[order])
    is_last = np.append(falling[1:] < falling[:-1], True)  # rows of equal probability are decided alike
    totals = np.where(is_last, sums, -np.inf)
    best = int(totals.argmax())
    return float(falling[best]) if totals[best] > 0 else None
