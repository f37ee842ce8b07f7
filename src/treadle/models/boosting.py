"""Models of boosted trees, whatever library grows them: what they are built with, and how they are asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from treadle.errors import TreadleError
from treadle.models.estimator import Training
from treadle.models.matrix import list_directions
from treadle.models.rounds import Rounds
from treadle.schema import Count


@dataclass(kw_only=True, eq=False, repr=False)
class Boosting(ABC):
    """Trees that are added round by round. The fields of a subclass are its library's own arguments, by its names."""

    OBJECTIVES = ("default", "quantile", "huber", "poisson", "tweedie", "quantiles")
    RAW_INPUTS = True
    REFITS = True

    num_numeric: int
    cardinalities: Sequence[int]
    num_outputs: int
    max_rounds: Count
    early_stopping_rounds: Count | None
    eval_period: Count
    monotone: Mapping[str, Literal[-1, 1]] | None

    def __post_init__(self) -> None:
        self.rounds = Rounds(self.max_rounds, self.eval_period, self.early_stopping_rounds)
        self.booster: Any = None  # of the library, once it is fitted or loaded

    @property
    def num_categories(self) -> int:
        """Number of categorical inputs."""
        return len(self.cardinalities)

    @property
    def arguments(self) -> dict[str, Any]:
        """The library's own arguments, as they are configured."""
        shared = {field.name for field in fields(Boosting)}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in shared}

    def list_directions(self, training: Training) -> list[int]:
        """The direction of each input; empty where no column has one."""
        if not self.monotone:
            return []
        return list_directions(self.monotone, numeric_columns=training.numeric_columns, num_ids=self.num_categories)

    def restart(self) -> None:
        """Forget the trees; the next `fit` adds as many rounds as were best."""
        self.rounds.restart()
        self.booster = None

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Sum of the trees, on one thread."""
        assert self.booster is not None, "it is fitted, or loaded"
        if not len(numeric):
            return numeric.new_empty(0, self.num_outputs)
        return self._sum_trees(numeric, ids).float().reshape(len(numeric), self.num_outputs)

    @abstractmethod
    def _sum_trees(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """`[B]` or `[B, num_outputs]`, of at least one row."""


@contextmanager
def explaining_rows(library: str, error: type[Exception]) -> Iterator[None]:
    """What the library says of the rows, where it cannot be trained on them.

    Raises:
        TreadleError: in one line.
    """
    try:
        yield
    except error as caught:
        raise TreadleError(f"model: {library} cannot be trained on these rows: {_take_line(caught)}") from caught


@contextmanager
def explaining_file(file: Path, error: type[Exception]) -> Iterator[None]:
    """What is wrong with a file of trees, as the library or what checks the file before says it.

    Raises:
        TreadleError: in one line.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, OverflowError, error) as caught:
        raise TreadleError(f"{file} holds no trees that can be read: {_take_line(caught)}") from caught


def _take_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
