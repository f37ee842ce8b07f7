"""First steps that give each column a vector of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treadle.errors import TreadleError
from treadle.features.base import Vectorizer


class ColumnVectors(Vectorizer):
    """A vector for each column, those of the first column first."""

    dim: int  # numbers of a vector; 0 until it is known

    @property
    def outputs(self) -> list[str]:
        """`column: 1` and so on."""
        return [f"{column}: {place}" for column in self.columns for place in range(1, self.dim + 1)]

    @property
    def origins(self) -> list[int]:
        """The column of each number."""
        return [place for place in range(len(self.columns)) for _ in range(self.dim)]

    def get_state(self) -> dict[str, Any]:
        """The dimension of the vectors."""
        return {"dim": self.dim}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take what `get_state` gave.

        Raises:
            TreadleError: it is no dimension.
        """
        dim = state.get("dim")
        if set(state) != {"dim"} or type(dim) is not int or dim < 1:
            raise TreadleError(f"must hold the dimension of the vectors, and nothing else; found {dict(state)}")
        self.dim = dim
