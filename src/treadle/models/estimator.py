"""Estimators: models that train themselves, without Lightning, such as trees.

The configuration names one in `model`. It is built as a network is, with the sizes of its inputs, and gives outputs of
the same shape. Constants of the class tell `treadle check` what it takes, which reads them from the source:

    OBJECTIVES  losses that it can minimise, by the `OBJECTIVE` of their classes
    RAW_INPUTS  True: numbers come as they are, and missing ones as NaN; steps that scale and impute are left out
    LIBRARY     package that it needs, and EXTRA: the extra of Treadle that installs it
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.schema import Batch, Task


@dataclass(frozen=True)
class Objective:
    """What an estimator minimises."""

    task: Task
    name: str  # default (log loss, or squared error), quantile, huber or poisson
    parameter: float | None = None  # the quantile; the error from which Huber's loss is linear


class Watch(Protocol):
    """What training shows after some rounds."""

    def __call__(self, *, rounds: int, train: Tensor, valid: Tensor) -> int:
        """Score the predictions; returns the number of rounds that was best until now.

        Args:
            rounds: number of rounds until now.
            train: predictions of the training rows: `[B]` probabilities or values, `[B, K]` probabilities.
            valid: predictions of the validation rows.
        """


@runtime_checkable
class Estimator(Protocol):
    """A model that trains itself.

    Shape:
        numeric: `[B, N]` float32; ids: `[B, C]` int64.
        output: `[B, num_outputs]`: a logit, a logit for each class, or a value (of Poisson's loss its logarithm).
    """

    FILE: ClassVar[str]  # name of its file in a bundle

    def fit(
        self,
        train: Batch,
        valid: Batch,
        *,
        objective: Objective,
        numeric_columns: Sequence[str],
        seed: int,
        threads: int,
        watch: Watch,
    ) -> None:
        """Train, and keep the rounds that `watch` finds best.

        Args:
            train: rows to learn from; targets of a regression are scaled.
            valid: rows that tell when to stop; a class that training has not seen is -1.
            objective: what is minimised.
            numeric_columns: the column that each number comes from.
            seed: of everything random.
            threads: CPU threads.
            watch: is called every few rounds, and at least once.
        """

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Outputs of some rows; the same for a row alone and among others."""

    def save(self, file: Path) -> None:
        """Write what was learned, as text."""

    def load(self, file: Path) -> None:
        """Read what `save` wrote, of whoever wrote it.

        Raises:
            TreadleError: the file holds something else.
        """


def join_inputs(numeric: Tensor, ids: Tensor) -> Tensor:
    """One matrix `[B, N + C]` float32, the ids behind the numbers."""
    return torch.cat([numeric, ids.float()], dim=1)


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


def read_labels(rows: Batch, *, num_outputs: int) -> np.ndarray:
    """Targets `[B]` as a library takes them; a class that training has not seen counts as the first one."""
    return (rows.target.clamp(min=0) if num_outputs > 1 else rows.target).numpy()


def list_directions(monotone: Mapping[str, int], *, numeric_columns: Sequence[str], num_ids: int) -> list[int]:
    """The direction of each input of `join_inputs`: that of a number's column, 0 where it has none."""
    return [*(monotone.get(column, 0) for column in numeric_columns), *[0] * num_ids]


def import_library(name: str, *, extra: str) -> ModuleType:
    """A library that an estimator needs.

    Raises:
        TreadleError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TreadleError(f"the model needs {name}, which is not installed: `pip install treadle[{extra}]`") from error
