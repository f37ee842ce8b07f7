"""The bundle: rows in, predictions out.

Evaluation, batch and online prediction run this same code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from treadle.bundle.conform import Rows, conform_rows, list_columns
from treadle.bundle.network import to_prediction
from treadle.experiment.spec import Column, Table
from treadle.features.featurizer import Featurizer
from treadle.schema import ROW, Task

CHUNK = 16_384  # rows that go through the model at once; the same everywhere, so that the numbers are


@dataclass(frozen=True)
class Bundle:
    """A trained model with everything that it needs to judge a row."""

    task: Task
    classes: list[str]  # of a multiclass task, in the order of the outputs
    schema: dict[str, str]  # column: Polars type, as the stage `prepare` gives them
    featurizer: Featurizer
    network: nn.Module
    target_mean: float  # regression: the network predicts (target - mean) / scale
    target_scale: float
    experiment: dict[str, Any]  # the slices of the configuration that made it

    def predict(self, rows: Rows) -> pl.DataFrame:
        """Judge rows: a frame, one row as a mapping, or a list of such rows.

        Returns:
            One row per input row, in its order: `probability` (binary), `prediction` (regression), or `prediction`
            and `probability_<class>` (multiclass); with the column `row` of the input where it has one.

        Raises:
            TreadleError: a column is missing, or cannot be read as its type.
        """
        frame = self.conform(rows)
        outputs = self._predict_tensor(frame)
        columns = [frame[ROW]] if ROW in frame.columns else []
        return pl.DataFrame([*columns, *self._name_outputs(outputs)])

    def conform(self, rows: Rows) -> pl.DataFrame:
        """The rows as a frame with the columns and the types of the training examples."""
        return conform_rows(rows, self._columns)

    @cached_property
    def table(self) -> Table:
        """The table of the examples, as it was declared."""
        data = self.experiment["data"]
        return Table.model_validate(data["tables"][data["examples"]["table"]])

    @cached_property
    def _columns(self) -> dict[str, Column]:
        known = set(self.experiment["data"]["examples"]["known"])
        declared = {name: column for name, column in self.table.columns.items() if name in known}
        return list_columns(self.schema, declared)

    @torch.no_grad()
    def _predict_tensor(self, frame: pl.DataFrame) -> Tensor:
        self.network.eval()
        with _one_thread():
            chunks = [self._predict_chunk(frame[start : start + CHUNK]) for start in range(0, len(frame), CHUNK)]
            return torch.cat(chunks) if chunks else self._predict_chunk(frame)

    def _predict_chunk(self, frame: pl.DataFrame) -> Tensor:
        return self.read_output(self.network(*self.featurizer(frame)))

    def read_output(self, output: Tensor) -> Tensor:
        """From what the network gives to predictions in the target's own units: `[B]`, or `[B, K]`."""
        prediction = to_prediction(output, task=self.task)
        return prediction * self.target_scale + self.target_mean if self.task == "regression" else prediction

    def _name_outputs(self, outputs: Tensor) -> list[pl.Series]:
        values = outputs.numpy()
        if self.task == "multiclass":
            names = [self.classes[index] for index in outputs.argmax(dim=1).tolist()]
            shares = [pl.Series(f"probability_{name}", values[:, i]) for i, name in enumerate(self.classes)]
            return [pl.Series("prediction", names, dtype=pl.String), *shares]
        return [pl.Series("probability" if self.task == "binary" else "prediction", values)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """The order of a sum depends on the number of threads; predictions must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
