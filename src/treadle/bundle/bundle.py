"""The bundle: rows in, predictions out.

Evaluation, batch and online prediction run this same code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import torch
from torch import Tensor, nn

from treadle.bundle.breaches import BreachError, BreachWarning, describe_breaches, find_breaches
from treadle.bundle.card import Card, Recipe
from treadle.bundle.conform import Rows, conform_rows, list_columns
from treadle.bundle.network import to_prediction
from treadle.data.contract import Rule, list_row_rules
from treadle.experiment.spec import Column, OnBreach, Table
from treadle.features.featurizer import Featurizer
from treadle.schema import ROW, Task

CHUNK = 16_384  # rows that go through the model at once; the same everywhere, so that the numbers are


@dataclass(frozen=True)
class Bundle:
    """A trained model with everything that it needs to predict a row."""

    card: Card
    recipe: Recipe
    featurizer: Featurizer
    network: nn.Module
    override: OnBreach | None = None  # of the experiment's `data.on_breach`

    @property
    def on_breach(self) -> OnBreach:
        """What happens to rows that break the contract."""
        return self.override or self.recipe.data.on_breach

    @property
    def task(self) -> Task:
        """The kind of prediction."""
        return self.card.task

    @property
    def classes(self) -> list[str]:
        """Classes of a multiclass task, in the order of the outputs; empty for other tasks."""
        return self.card.classes

    def predict(self, rows: Rows, *, on_breach: OnBreach | None = None) -> pl.DataFrame:
        """Predict rows: a frame, one row as a mapping, or a list of such rows.

        Args:
            rows: to predict.
            on_breach: what happens to rows that break the contract; None: as the bundle declares.
                `find_breaches` lists them.

        Returns:
            One row per input row, in its order: `probability` (binary), `prediction` (regression), or `prediction`
            and `probability_<class>` (multiclass); with the column `row` of the input where it has one.

        Raises:
            TreadleError: a column is missing, or cannot be read as its type.
            BreachError: rows break the contract, and `on_breach` is refuse.
        """
        frame = self.conform(rows)
        self._check_contract(frame, on_breach or self.on_breach)
        outputs = self._predict_tensor(frame)
        columns = [frame[ROW]] if ROW in frame.columns else []
        return pl.DataFrame([*columns, *self._name_outputs(outputs)])

    def find_breaches(self, rows: Rows) -> pl.DataFrame:
        """Each breach of the contract: `position` of the row from 0, `column`, `rule` and `value`.

        It checks the rules of single rows: bounds, allowed values, missing values. Values that are not in the training
        data are valid if the contract allows them.
        """
        return find_breaches(self.conform(rows), self._rules)

    def _check_contract(self, frame: pl.DataFrame, on_breach: OnBreach) -> None:
        breaches = pl.DataFrame() if on_breach == "allow" else find_breaches(frame, self._rules)
        if len(breaches) and on_breach == "refuse":
            raise BreachError(breaches, num_rows=len(frame))
        if len(breaches):
            warnings.warn(describe_breaches(breaches, num_rows=len(frame)), BreachWarning, stacklevel=3)

    def conform(self, rows: Rows) -> pl.DataFrame:
        """The rows as a frame with the columns and the types of the training examples."""
        return conform_rows(rows, self._columns)

    @property
    def table(self) -> Table:
        """The table of the examples, as it was declared."""
        data = self.recipe.data
        return data.tables[data.examples.table]

    @cached_property
    def _columns(self) -> dict[str, Column]:
        known = set(self.recipe.data.examples.known)
        declared = {name: column for name, column in self.table.columns.items() if name in known}
        return list_columns(self.card.columns, declared)

    @cached_property
    def _rules(self) -> list[Rule]:
        return list(list_row_rules(self._columns))

    @torch.no_grad()
    def _predict_tensor(self, frame: pl.DataFrame) -> Tensor:
        self.network.eval()
        with _one_thread():
            chunks = [self._predict_chunk(frame[start : start + CHUNK]) for start in range(0, len(frame), CHUNK)]
            return torch.cat(chunks) if chunks else self._predict_chunk(frame)

    def _predict_chunk(self, frame: pl.DataFrame) -> Tensor:
        return self.read_output(self.network(*self.featurizer(frame)))

    def read_output(self, output: Tensor) -> Tensor:
        """From network outputs to predictions in the target's own units: `[B]`, or `[B, K]`."""
        target = self.card.target
        prediction = to_prediction(output, task=self.task, link=target.link)
        if self.task != "regression":
            return prediction
        return prediction.double() * target.scale + target.mean  # float32 has few distinct values near 1.7e9

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
