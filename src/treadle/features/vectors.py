"""First steps that give each column a vector of a trained model."""

from __future__ import annotations

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
