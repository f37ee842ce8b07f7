"""Rows in, predictions out: what every bundle does, whatever its model is.

Evaluation, batch and online prediction run this same code.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from treadle.bundle.breaches import BreachError, BreachWarning, describe_frame, find_breaches
from treadle.bundle.calibration import calibrate
from treadle.bundle.card import Card, Recipe
from treadle.bundle.conform import Rows, conform_rows, list_columns, read_leniently
from treadle.bundle.conformal import name_ends
from treadle.bundle.model import take_point
from treadle.bundle.private import list_private
from treadle.data.casting import DTYPES
from treadle.data.contract import Rule, list_row_rules
from treadle.experiment.spec import Column, OnBreach, Table
from treadle.images import count_part_rows
from treadle.metrics.decisions import decide
from treadle.schema import MEDIAN, ROW, Task
from treadle.tasks import PREDICTION, TRAITS


@dataclass(frozen=True)
class Predictor(ABC):
    """A trained model with everything that it needs to predict a row, whatever the model is."""

    card: Card
    recipe: Recipe
    override: OnBreach | None = field(default=None, kw_only=True)  # of the experiment's `data.on_breach`

    @abstractmethod
    def compute(self, frame: pl.DataFrame) -> Tensor:
        """What the model predicts, `[B]` in the target's own units, or `[B, K]` of classes, labels or quantiles.

        Probabilities are not calibrated yet.
        """

    @property
    @abstractmethod
    def chunk_rows(self) -> int:
        """Rows that are read at once, a power of two: the same everywhere, so that the numbers are."""

    @abstractmethod
    def measure_terms(self, row: Mapping[str, Any], place: int) -> float:
        """The size that rounding is a share of, in the prediction of a row: the sum of what the model adds up.

        Args:
            row: to predict.
            place: position among the predictions of the row, 0 where it has one.
        """

    def calibrate(self, outputs: Tensor) -> Tensor:
        """What `compute` gives, with the calibration that the validation split has taught."""
        return calibrate(outputs, self.card.calibration)

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
        """Classes of a multiclass task, or names of several labels, in the order of the outputs; else empty."""
        return self.card.classes

    def predict(self, rows: Rows, *, on_breach: OnBreach | None = None) -> pl.DataFrame:
        """Predict rows: a frame, one row as a mapping, or a list of such rows.

        Args:
            rows: to predict.
            on_breach: what happens to rows that break the contract; None: as the bundle declares.
                `find_breaches` lists them.

        Returns:
            One row per input row, in its order: `probability` (binary), `prediction` (a value), or `prediction` and
            `probability_<class>` (multiclass); of several labels `probability_<label>`, and `prediction_<label>`, true
            or false, where the bundle has thresholds; of several quantiles also `q10` and the like; with the column
            `row` of the input where it has one, and of a forecast with series, time and step. A bundle with conformal
            prediction adds `low` and `high`, or for each class `set_<class>`.

        Raises:
            TreadleError: a column is missing, or cannot be read as its type.
            BreachError: rows break the contract, and `on_breach` is refuse.
        """
        frame = self.conform(rows)
        self._check_contract(frame, on_breach or self.on_breach)
        outputs = self.compute(frame)
        keys = [name for name in self.keys if name in frame.columns]
        return pl.DataFrame([*frame.select(keys), *self.name_outputs(outputs)])

    @property
    def keys(self) -> list[str]:
        """Columns of the rows that stand beside their predictions."""
        forecast = self.recipe.data.forecast
        return [ROW] if forecast is None else [ROW, *forecast.keys]

    def find_breaches(self, rows: Rows) -> pl.DataFrame:
        """Each breach of the contract: `position` of the row from 0, `column`, `rule` and `value`.

        It checks the rules of single rows: bounds, allowed values, missing values. Values that are not in the training
        data are valid if the contract allows them.
        """
        return find_breaches(self.conform(rows), self._rules)

    def examine(
        self, rows: pl.DataFrame, *, first: int = 0, keep_unreadable: bool = False
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows as `conform` gives them, and their breaches as `find_breaches`; none where breaches are allowed.

        Args:
            rows: to predict.
            first: position of the first of them, for errors.
            keep_unreadable: a value that its type cannot hold is a breach, and missing, rather than an error.

        Raises:
            TreadleError: as `conform`.
        """
        if keep_unreadable:
            frame, unreadable = read_leniently(rows, self.columns)
            found = find_breaches(frame, self._rules).join(unreadable, on=["position", "column"], how="anti")
            return frame, pl.concat([unreadable, found]).sort("position", maintain_order=True)
        frame = conform_rows(rows, self.columns, first=first)
        return frame, find_breaches(frame, self._rules if self.on_breach != "allow" else [])

    def _check_contract(self, frame: pl.DataFrame, on_breach: OnBreach) -> None:
        breaches = pl.DataFrame() if on_breach == "allow" else find_breaches(frame, self._rules)
        if len(breaches) and on_breach == "refuse":
            raise BreachError(breaches, num_rows=len(frame))
        if len(breaches):
            warnings.warn(describe_frame(breaches, num_rows=len(frame)), BreachWarning, stacklevel=3)

    def conform(self, rows: Rows) -> pl.DataFrame:
        """The rows as a frame with the columns and the types of the training examples."""
        return conform_rows(rows, self.columns)

    @property
    def table(self) -> Table:
        """The table of the examples, as it was declared."""
        data = self.recipe.data
        return data.tables[data.examples.table]

    @cached_property
    def columns(self) -> dict[str, Column]:
        """How each column of the rows is read, and its rules."""
        known = set(self.recipe.data.examples.known)
        declared = {name: column for name, column in self.table.columns.items() if name in known}
        return list_columns(self.card.columns, declared)

    def count_part_rows(self, most: int) -> int:
        """How many rows to have in memory at a time: whole chunks, so that the numbers are those of all rows together.

        Args:
            most: as many chunks as are wanted where no column holds files.
        """
        return max(self.chunk_rows, count_part_rows(self._types, most=most))

    @property
    def _types(self) -> list[pl.DataType]:
        return [DTYPES[column.dtype] for column in self.columns.values()]

    @property
    def private(self) -> list[str]:
        """The columns whose values no log and no report may hold."""
        return [name for name, column in self.columns.items() if column.private or name in self._copies]

    @cached_property
    def _copies(self) -> set[str]:
        return list_private(self.recipe.data)

    @cached_property
    def _rules(self) -> list[Rule]:
        return list(list_row_rules(self.columns))

    def name_outputs(self, outputs: Tensor) -> list[pl.Series]:
        """What `compute` gives, calibrated, as the columns that `predict` returns, with intervals or sets."""
        return self.name_calibrated(self.calibrate(outputs))

    def name_calibrated(self, outputs: Tensor) -> list[pl.Series]:
        """The same, of outputs that are calibrated already."""
        named = self._name_predictions(outputs).items()
        predicted = [pl.Series(name, v, dtype=pl.String() if isinstance(v, list) else None) for name, v in named]
        return [*predicted, *self._name_ends(outputs)]

    def list_calibrated(self, outputs: Tensor) -> dict[str, list[Any]]:
        """The same as lists of plain values: for a row, columns of Polars take as long as all of its features."""
        named = self._name_predictions(outputs).items()
        predicted = {name: values if isinstance(values, list) else values.tolist() for name, values in named}
        return predicted | {series.name: series.to_list() for series in self._name_ends(outputs)}

    def _name_ends(self, outputs: Tensor) -> list[pl.Series]:
        return name_ends(outputs, self.card.conformal, classes=self.classes) if self.card.conformal is not None else []

    def _name_predictions(self, outputs: Tensor) -> dict[str, NDArray[Any] | list[str]]:
        values = outputs.numpy().reshape(len(outputs), len(self.output_names))
        named: dict[str, NDArray[Any] | list[str]] = dict(zip(self.output_names, values.T, strict=True))
        if self.task == "multiclass":
            return {PREDICTION: [self.classes[index] for index in outputs.argmax(dim=1).tolist()], **named}
        if self.task == "multilabel":
            return named | self._name_decisions(outputs)
        first = {PREDICTION: named.pop(PREDICTION)} if PREDICTION in named else {}
        return first | named  # the quantiles behind the median

    def _name_decisions(self, outputs: Tensor) -> dict[str, NDArray[Any]]:
        """Whether each label is predicted; none where the bundle has no thresholds."""
        if not self.card.thresholds:
            return {}
        decided = decide(outputs, self.card.thresholds).bool().numpy()
        return {f"{PREDICTION}_{name}": decided[:, place] for place, name in enumerate(self.classes)}

    @property
    def output_names(self) -> list[str]:
        """The column of each number that `compute` gives for a row."""
        levels = self.card.target.levels
        quantiles = [PREDICTION if level == MEDIAN else f"q{100 * level:g}" for level in levels]
        return quantiles or TRAITS[self.task].name_outputs(self.classes)

    def take_point(self, outputs: Tensor) -> Tensor:
        """`[B]` the median of quantiles `[B, Q]`; other outputs as they are."""
        return take_point(outputs, self.card.target.levels)
