"""A confidence sequence: an interval for a mean that may be looked at after every block, and acted on at any look.

The blocks (days) are taken as independent and normal with an unknown variance: a day's mean of many rows is near that,
and rows of one day hang together, so that they are no blocks. With a normal prior on the size of the effect in standard
deviations, and Jeffreys' prior on the variance, the Bayes factor against a mean depends on the t statistic alone
(Gönen, Johnson, Lu and Westfall 2005, The American Statistician 59) and is a martingale for every variance: by Ville's
inequality the true mean is ever left out with a chance of at most alpha (Lai 1976; Wang and Ramdas 2023, "Anytime-valid
t-tests and confidence sequences for Gaussian means with unknown variance"). Unlike asymptotic sequences (Waudby-Smith,
Arbour, Sinha, Kennedy and Ramdas 2021) it holds from the second block on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

EFFECT = (
    0.5  # standard deviation of the prior of the effect, in standard deviations of a block; narrowest near 30 blocks
)
_LEAST = 2  # blocks that have a variance


@dataclass(frozen=True)
class Interval:
    """What is known of a mean."""

    mean: float
    low: float
    high: float
    count: int  # blocks

    @property
    def is_above(self) -> bool:
        """Beyond doubt above 0."""
        return self.low > 0

    @property
    def is_below(self) -> bool:
        """Beyond doubt below 0."""
        return self.high < 0

    def describe(self) -> str:
        """The mean and its bounds.

        >>> Interval(0.25, -0.5, 1.0, 9).describe()
        '+0.25 (-0.5 to +1)'
        """
        return f"{self.mean:+.4g} ({self.low:+.4g} to {self.high:+.4g})"


def bound_mean(values: Sequence[float], *, alpha: float, effect: float = EFFECT) -> Interval:
    """The interval of a confidence sequence after these blocks; infinite where they are too few to say anything.

    Args:
        values: of the blocks, in any unit.
        alpha: chance that the true mean is ever left out, over all looks.
        effect: of the prior.

    >>> bound_mean([1.0, 1.2, 0.9, 1.1, 1.0, 0.8, 1.1, 1.0], alpha=0.05).is_above
    True
    >>> bound_mean([1.0, 1.2], alpha=0.05).low
    -inf
    """
    count = len(values)
    mean = math.fsum(values) / count if count else 0.0
    if count < _LEAST:
        return Interval(mean, -math.inf, math.inf, count)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = spread * _widen(count, alpha=alpha, effect=effect)
    if math.isnan(half):  # no spread, and too few blocks
        half = math.inf
    return Interval(mean, mean - half, mean + half, count)


def _widen(count: int, *, alpha: float, effect: float) -> float:
    """Half the width in standard deviations of a block.

    The Bayes factor at t^2 = nu u is sqrt(1 / A) ((1 + u) / (1 + u / A))^(n / 2), with A = 1 + n effect^2 and
    nu = n - 1; it is below 1 / alpha for all u where K = (sqrt(A) / alpha)^(2 / n) >= A.
    """
    scale = 1 + count * effect**2
    limit = (math.sqrt(scale) / alpha) ** (2 / count)
    if limit >= scale:
        return math.inf
    return math.sqrt((count - 1) * (limit - 1) / (1 - limit / scale) / count)
