"""Training round by round, until the best one is too long ago."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from treadle.models.estimator import Watch


def train_by_rounds(
    *,
    add: Callable[[int], bool],
    show: Callable[[], tuple[Tensor, Tensor]],
    watch: Watch,
    max_rounds: int,
    eval_period: int,
    early_stopping_rounds: int | None,
) -> int:
    """Add rounds until there are enough, or the best one is too long ago; returns the best number of rounds.

    Args:
        add: adds the round of an index; whether no further round would gain anything.
        show: predictions of the training rows and of the validation rows, by all rounds until now.
        watch: scores them.
        max_rounds: maximum number of rounds.
        eval_period: rounds between two scores.
        early_stopping_rounds: rounds without a better score after which training stops; None: never.
    """
    best = 0
    for rounds in range(1, max_rounds + 1):
        is_over = add(rounds - 1) or rounds == max_rounds
        if not is_over and rounds % eval_period:
            continue
        train, valid = show()
        best = watch(rounds=rounds, train=train, valid=valid)
        if is_over or rounds - best >= (early_stopping_rounds or max_rounds):
            break
    return best
