"""Group `data`: where rows come from, their contract, the examples made of them, and the split."""

from __future__ import annotations

import operator
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from treadle.experiment.spec.base import DataPath, Duration, Name, Spec, Sql, Word
from treadle.experiment.spec.columns import Column, Encoding
from treadle.experiment.spec.forecast import Forecast, complete_examples, is_unset
from treadle.experiment.spec.labels import Labels
from treadle.experiment.spec.sample import SampleRule
from treadle.experiment.spec.split import SplitRule
from treadle.schema import DataTask, Task
from treadle.tasks import get_answer


def _check_separator(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\"'":
        raise ValueError("must be one ASCII character other than a quote or a line break")
    return text


Separator = Annotated[str, AfterValidator(_check_separator)]  # ",", ";", "|", a tab
OnBreach = Literal["refuse", "warn", "allow"]


class Join(Spec):
    """Columns of another table, looked up by a key that is unique there (a left join)."""

    table: str
    """The other table."""
    by: dict[str, str]
    """Join keys: a column of this table, mapped to the matching column of the other."""
    columns: dict[str, Sql]
    """New columns: a name, and an SQL expression over the matching row of the other table."""


class Table(Spec):
    """One source of rows: files, contract, joins by key, derived columns, and when a row becomes known."""

    path: DataPath
    """Path of the file, relative to the project, or its address; a glob reads several files as one table."""
    separator: Separator | None = None
    """Field separator of a text file; null: "," for .csv, a tab for .tsv."""
    quote: Literal['"', "'", ""] = '"'
    """Quote character around text fields that hold separators or line breaks; "": no quoting."""
    encoding: Encoding = "utf-8"
    """Character encoding of a text file."""
    sheet: str | None = Field(default=None, exclude_if=operator.not_)
    """Sheet of an Excel file; null: the first."""
    key: list[str] = []
    """Columns of the primary key: no two rows agree in all of them."""
    columns: dict[str, Column] = Field(min_length=1)
    """The columns that are read, each with its contract."""
    joins: dict[str, Join] = {}
    """Columns looked up in other tables by key, by name of the join."""
    derive: dict[str, Sql] = {}
    """New columns: a name, and an SQL expression over a row."""
    known_at: Sql | None = None
    """SQL expression for the time at which a row becomes known; null: every row is known from the start."""


class AsOf(Spec):
    """Columns of the newest row of a table that was known at prediction time (an as-of join), without its own row."""

    table: str
    """The table that is looked up."""
    by: dict[str, str]
    """Join keys: a column of the example, mapped to the matching column of the table."""
    within: Duration
    """Maximum age of the row at prediction time; an older row counts as missing [duration]."""
    columns: dict[str, Sql]
    """New columns: a name, and an SQL expression over the row that was found."""


class History(Spec):
    """Aggregates over the rows of a table that became known in a window before the prediction, without its own row."""

    table: str
    """The table that is aggregated."""
    by: dict[str, str]
    """Group keys: a column of the example, mapped to the matching column of the table."""
    window: Duration
    """Length of the window that ends at prediction time [duration]."""
    columns: dict[str, Sql]
    """New columns: AVG(expression), SUM(expression) or COUNT(*); only finite values are aggregated."""


class Examples(Spec):
    """One row per prediction: what it is about, when it is made, and the label that is observed later."""

    table: str
    """The table whose rows are the examples."""
    predict_at: Sql | None = None
    """SQL expression for the prediction time; null: the examples have no time."""
    exclude: dict[str, Sql] = {}
    """Rows to exclude: a reason, and an SQL condition; the summary counts each."""
    known: list[str]
    """Columns of the table that are known at prediction time."""
    asof: dict[str, AsOf] = {}
    """Lookups of the newest row of another table, by name."""
    history: dict[str, History] = {}
    """Aggregates over past rows, by name."""
    label: Sql | Annotated[dict[Word, Sql], Field(min_length=1)]
    """SQL expression for the label, which the model predicts; of the task `multilabel` one for each label, by name."""
    weight: Sql | None = None
    """SQL expression for the sample weight in training; null: all rows weigh the same."""

    @property
    def labels(self) -> dict[str, Sql]:
        """The expressions that the label is made of, by their keys: one, or of several labels one each."""
        key = "data.examples.label"
        if isinstance(self.label, str):
            return {key: self.label}
        return {f"{key}.{name}": text for name, text in self.label.items()}


class Data(Spec):
    """Rows: where they come from, their contract, and how they are split."""

    task: DataTask
    """Kind of prediction: binary, multiclass or multilabel classification, regression, count, or forecast."""
    tables: dict[Name, Table]
    """Sources of rows, by name."""
    examples: Examples
    """One row per prediction, with its label."""
    forecast: Forecast | None = Field(default=None, exclude_if=is_unset)
    """Series whose next values are predicted, of the task `forecast`."""
    labels: Labels | None = Field(default=None, exclude_if=is_unset)
    """Rules that label training rows; null: every example has a label of its own."""
    sample: SampleRule | None = Field(default=None, exclude_if=is_unset)
    """Training rows that are drawn from all of them; null: all."""
    split: SplitRule
    """How examples are split into training, validation and test sets."""
    on_breach: OnBreach = "refuse"
    """What happens to rows that violate the contract at prediction: refuse them, warn and predict, or allow them."""

    @property
    def answer(self) -> Task:
        """What the model answers."""
        return get_answer(self.task)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        return cast("Self", complete_examples(self))
