"""Training round by round, until the best one is too long ago."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from treadle.models.estimator import Watch


@dataclass
class Rounds:
    """How many rounds a training has, and which of them was best."""

    maximum: int
    eval_period: int  # rounds between two scores
    patience: int | None  # rounds without a better score after which training stops; None: only the maximum stops it
    best: int = 0
    is_known: bool = False  # whether the maximum was best before: then no score stops the training

    def restart(self) -> None:
        """Train as many as were best, next time."""
        self.maximum, self.is_known = self.best, True

    def is_due(self, count: int) -> bool:
        """Whether the predictions are scored after so many rounds."""
        return count % self.eval_period == 0 or count == self.maximum

    def score(self, watch: Watch, count: int, *, train: Tensor, valid: Tensor) -> bool:
        """Show the predictions after so many rounds; whether training goes on."""
        found = watch(rounds=count, train=train, valid=valid)
        self.best = count if self.is_known else found
        return count - self.best < (self.patience or self.maximum)

    def train(self, *, add: Callable[[int], bool], show: Callable[[], tuple[Tensor, Tensor]], watch: Watch) -> None:
        """Add rounds until there are enough, or the best one is too long ago.

        Args:
            add: adds the round of an index; whether no further round would gain anything.
            show: predictions of the training rows and of the validation rows, by all rounds until now.
            watch: scores them.
        """
        for count in range(1, self.maximum + 1):
            is_over = add(count - 1)
            if is_over or self.is_due(count):
                train, valid = show()
                if not self.score(watch, count, train=train, valid=valid) or is_over:
                    break
