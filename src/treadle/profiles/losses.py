"""The mean loss of rows, expected from how their values are distributed: a linear model of the loss on cells.

Direct loss estimation (DLE, of NannyML) asks a second model for the loss of each row. This one is linear in the cells
of the columns and of the prediction, so that the mean of a block follows from its profile, without its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.profiles.cells import Cells, Ints, list_cells
from treadle.profiles.profile import mark_cells

Floats = NDArray[np.float64]

_PART_ROWS = 8_192  # whose marks are in memory at a time
_PENALTY = 10.0  # rows: as if each cell had so many more, of the mean loss


@dataclass(frozen=True)
class LossModel:
    """The expected loss of a row, of one kind: a mean, and what each of its cells adds."""

    mean: float
    weights: Floats  # `[F]` by cell

    def estimate(self, cells: Ints, rows: Ints) -> Floats:
        """`[G]` the expected mean loss of each block.

        Args:
            cells: `[G, F]` counts.
            rows: `[G]` number of rows of each block, none of them 0.
        """
        return self.mean + (cells @ self.weights) / rows


def fit_losses(frame: pl.DataFrame, columns: Sequence[Cells], losses: Mapping[str, Floats]) -> dict[str, LossModel]:
    """Fit a model of each kind of loss, by ridge regression.

    Args:
        frame: rows that the model has not seen, with the columns.
        columns: whose cells are counted.
        losses: of these rows, by name.
    """
    starts, total = list_cells(columns)[:-1], int(list_cells(columns)[-1])
    placed = [column.place(frame[column.name]) for column in columns]
    means = {name: float(values.mean()) for name, values in losses.items()}
    products, sums = np.diag(np.full(total, _PENALTY)), {name: np.zeros(total) for name in losses}
    for first in range(0, len(frame), _PART_ROWS):
        part = slice(first, first + _PART_ROWS)
        marks = mark_cells([cells[part] for cells in placed], starts, total=total)
        products += marks.T @ marks
        for name, values in losses.items():
            sums[name] += marks.T @ (values[part] - means[name])
    return {name: LossModel(means[name], np.linalg.solve(products, sums[name]).astype(np.float64)) for name in losses}
