"""The Poisson deviance of counts.

Source: McCullagh and Nelder, "Generalized Linear Models", 2nd edition (1989), chapter 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-7  # a predicted mean is not taken for less: a mean of 0 would exclude every count above 0


def compute_deviances(prediction: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """`[B]` twice the log-likelihood that a prediction lacks beside one that is the count itself.

    Args:
        prediction: `[B]` mean counts.
        target: `[B]` counts, from 0 on.

    >>> compute_deviances(np.array([1.0, 2.0]), np.array([0.0, 2.0])).tolist()
    [2.0, 0.0]
    """
    mean, count = prediction.astype(np.float64).clip(min=LEAST), target.astype(np.float64)
    some = np.where(count > 0, count, 1.0)  # 0 log 0 is 0
    deviances: NDArray[np.float64] = 2 * (count * np.log(some / mean) * (count > 0) - count + mean)
    return deviances
