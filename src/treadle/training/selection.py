"""Weights of the members of a blend, by greedy selection on rows that no member was trained on.

Source: "Ensemble Selection from Libraries of Models", Caruana et al., ICML 2004: forward selection with replacement,
from the best single member on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Selection:
    """The members that were picked, one a round, and the score after each."""

    picks: list[str]
    scores: list[float]  # lower is better

    @property
    def best_round(self) -> int:
        """The number of rounds that are kept: the first with the best score."""
        return min(range(len(self.scores)), key=self.scores.__getitem__) + 1

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the members that were picked, in the order in which they were picked first."""
        return self.weigh(self.best_round)

    def weigh(self, count: int) -> dict[str, float]:
        """The weights after so many rounds."""
        kept = self.picks[:count]
        return {name: kept.count(name) / count for name in dict.fromkeys(kept)}


def select(predictions: Mapping[str, Tensor], *, score: Callable[[Tensor], float], rounds: int) -> Selection:
    """Add the member that improves the mean most, in each round; of those that are alike the first.

    Args:
        predictions: `[B]` probabilities or values, or `[B, K]` probabilities, by member.
        score: of predictions; lower is better, NaN is never chosen.
        rounds: how many members are added, each as often as it helps.
    """
    total = torch.zeros_like(next(iter(predictions.values())), dtype=torch.float64)
    picks: list[str] = []
    scores: list[float] = []
    for count in range(1, rounds + 1):
        each = {name: score((total + values) / count) for name, values in predictions.items()}
        best = _find_lowest(each)
        total = total + predictions[best]
        picks.append(best)
        scores.append(each[best])
    return Selection(picks, scores)


def _find_lowest(scores: Mapping[str, float]) -> str:
    return min(scores, key=lambda name: (scores[name] != scores[name], scores[name]))
