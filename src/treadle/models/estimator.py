"""Estimators: models that train themselves, without Lightning, such as trees.

The configuration names one in `model`. It is built as a network is, with the sizes of its inputs, and gives outputs of
the same shape. Constants of the class tell `treadle check` what it takes, which reads them from the source:

    OBJECTIVES  losses that it can minimise, by the `OBJECTIVE` of their classes
    UNDIRECTED  those of them under which it keeps no declared direction (`monotone`); none: it keeps it under all
    RAW_INPUTS  True: numbers come as they are, and missing ones as NaN; steps that scale and impute are left out
    REFITS      True: it can be trained a second time, for `schedule.refit`; see `Restartable`
    LIBRARY     package that it needs, and EXTRA: the extra of Treadle that installs it
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Protocol, runtime_checkable

from pydantic import Field
from torch import Tensor

from treadle.errors import TreadleError
from treadle.schema import Batch, Link, Task

NotNegative = Annotated[float, Field(ge=0)]
Whole = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Objective:
    """What an estimator minimises."""

    task: Task
    name: str  # default (log loss, or squared error), quantile, huber, poisson or tweedie
    parameter: float | None = None  # the quantile; the error from which Huber's loss is linear; Tweedie's power
    link: Link = "identity"  # of a value, whether it is the output or the output is its logarithm

    @property
    def key(self) -> str:
        """By which a library's own name of the loss is looked up: its name, or the task of the default one."""
        return self.task if self.name == "default" else self.name


class Watch(Protocol):
    """What training shows after some rounds."""

    def __call__(self, *, rounds: int, train: Tensor, valid: Tensor) -> int:
        """Score the predictions; returns the number of rounds that was best until now.

        Args:
            rounds: number of rounds until now.
            train: predictions of the training rows: `[B]` probabilities or values, `[B, K]` probabilities.
            valid: predictions of the validation rows.
        """


@dataclass(frozen=True)
class Training:
    """How an estimator is trained, whatever its rows are."""

    objective: Objective
    numeric_columns: Sequence[str]  # the column that each number comes from
    seed: int  # of everything random
    threads: int  # of the CPU
    watch: Watch  # is called every few rounds, and at least once


@runtime_checkable
class Estimator(Protocol):
    """A model that trains itself.

    Shape:
        numeric: `[B, N]` float32; ids: `[B, C]` int64.
        output: `[B, num_outputs]`: a logit, a logit for each class, or a value, or its logarithm.
    """

    FILE: str  # name of its file in a bundle

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Train, and keep the rounds that `watch` finds best.

        Args:
            train: rows to learn from; targets of a regression are scaled.
            valid: rows that tell when to stop; a class that training has not seen is -1.
            training: how.
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


@runtime_checkable
class Restartable(Protocol):
    """An estimator that can be trained a second time, on more rows."""

    def restart(self) -> None:
        """Forget what was learned; the next `fit` takes as many rounds as were best, whatever `watch` says."""


def restart(estimator: Estimator) -> None:
    """Restart one of a class with REFITS."""
    assert isinstance(estimator, Restartable), "the check has refused others"
    estimator.restart()


def import_library(name: str, *, extra: str) -> ModuleType:
    """A library that an estimator needs.

    Raises:
        TreadleError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TreadleError(f"the model needs {name}, which is not installed: `pip install treadle[{extra}]`") from error
