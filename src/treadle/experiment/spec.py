"""The shape of an experiment: every key that a configuration may hold, with its type and its range.

One page shows the whole turn of the loop. Values are written in `conf/`; this file only says which are
sound. Structure that may be absent (no joins, no derived columns) defaults to empty; numbers have no default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Discriminator, Field

from treadle.experiment.durations import parse_duration
from treadle.schema import Task


class Spec(pydantic.BaseModel):
    """A node of the configuration. Unknown keys and silent conversions are refused."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(), defer_build=True
    )


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


def _check_moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _check_separator(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\"'":
        raise ValueError("must be one ASCII character, and neither a quote nor the end of a line")
    return text


def _check_target(node: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node.get("_target_"), str):
        raise ValueError("needs a `_target_`: the dotted path of a class or function")  # noqa: TRY004 - pydantic's way
    return node


Sql = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, AfterValidator(_check_duration)]  # "3h", "90m", "1d", "2w"
Moment = Annotated[str, AfterValidator(_check_moment)]  # ISO 8601, UTC: "2013-09-01"
Target = Annotated[dict[str, Any], AfterValidator(_check_target)]  # a `_target_` node, checked by signature
Share = Annotated[float, Field(gt=0, lt=1)]
Separator = Annotated[str, AfterValidator(_check_separator)]  # ",", ";", "|", a tab
Thousands = Literal[",", ".", "'", " ", "\u00a0", "\u2009", "\u202f"]  # the last three: no-break, thin, narrow no-break
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


# --- data ---------------------------------------------------------------------------------------------


class Column(Spec):
    """The contract of one column of a table, checked as its rows enter."""

    dtype: Literal["int", "float", "bool", "str", "date", "datetime"]
    source: str | None = None  # the column's name in the file, where it differs: one that is reserved here, or awkward
    format: str | None = None  # of a date or a moment in text: "%d/%m/%Y %H:%M"; None: ISO 8601
    thousands: Thousands | None = None  # between groups of digits in text: "," of 1,234.5; a space stands for any space
    decimal: Literal[".", ","] = "."  # of a number in text: "," of 1.234,5
    nullable: bool = False
    unique: bool = False
    min: float | str | None = None
    max: float | str | None = None
    allowed: list[str | int] | None = None
    missing: list[str] = []  # texts that mean "no value", such as "?"; blanks around them do not matter
    max_age: Duration | None = None  # freshness: the newest value may be this old when rows are read
    late: bool = False  # known only after the prediction: no feature of its own row may reach it

    def name_in_file(self, name: str) -> str:
        """The name that the column declared as `name` has in the file; it may be empty."""
        return name if self.source is None else self.source


class Join(Spec):
    """Columns of another table, looked up by key; the key must be unique there."""

    table: str
    by: dict[str, str]  # column here: column there
    columns: dict[str, Sql]  # new column: expression over the other table


class Table(Spec):
    """One source of rows: files, contract, joins by key, derived columns, and when a row becomes known."""

    path: str  # relative to the project; a glob reads several files as one table
    separator: Separator | None = None  # between the fields of a text file; None: "," of .csv, a tab of .tsv
    quote: Literal['"', "'", ""] = '"'  # around a field of a text file that holds separators or line ends; "": none is
    encoding: Literal["utf-8", "latin-1", "windows-1252", "utf-16"] = "utf-8"  # of a text file
    key: list[str] = []  # columns that together name a row: no two rows agree in all of them
    columns: dict[str, Column] = Field(min_length=1)
    joins: dict[str, Join] = {}
    derive: dict[str, Sql] = {}
    known_at: Sql | None = None


class AsOf(Spec):
    """Columns of the newest row of another table that was known at the moment of the prediction."""

    table: str
    by: dict[str, str]  # column here: column there
    within: Duration  # an older row counts as missing
    columns: dict[str, Sql]


class History(Spec):
    """Aggregates over the rows of a table that became known in the window before the prediction."""

    table: str
    by: dict[str, str]  # column here: column there
    window: Duration
    columns: dict[str, Sql]  # new column: AVG(expression), SUM(expression) or COUNT(*)


class Examples(Spec):
    """One row per prediction: what it is about, when it is made, and the truth that came later."""

    table: str
    predict_at: Sql | None = None  # None: the rows carry no time
    exclude: dict[str, Sql] = {}  # reason: condition; each is counted in the summary
    known: list[str]  # columns of the table that are known when the prediction is made
    asof: dict[str, AsOf] = {}
    history: dict[str, History] = {}
    label: Sql
    weight: Sql | None = None


class TimeSplit(Spec):
    """Train before `valid_from`, valid before `test_from`, test from there; `gap` is left out before each."""

    by: Literal["time"]
    valid_from: Moment
    test_from: Moment
    gap: Duration


class RandomSplit(Spec):
    """Shares of the rows, drawn without regard to their content."""

    by: Literal["random"]
    valid: Share
    test: Share
    seed: int


class StratifiedSplit(Spec):
    """Random within each value of a column, so that every split has the same mix."""

    by: Literal["stratified"]
    column: str
    valid: Share
    test: Share
    seed: int


class GroupSplit(Spec):
    """Random over the values of a column: no group stands in two splits."""

    by: Literal["group"]
    column: str
    valid: Share
    test: Share
    seed: int


class ColumnSplit(Spec):
    """A column of the data already says it. A missing validation set is drawn from training."""

    by: Literal["column"]
    column: str
    train: list[str]
    test: list[str]
    valid: list[str] = []
    valid_share: Share | None = None  # of the training rows, when `valid` is empty
    seed: int


SplitRule = Annotated[TimeSplit | RandomSplit | StratifiedSplit | GroupSplit | ColumnSplit, Discriminator("by")]


class Data(Spec):
    """Rows: where they come from, what they promise, and how they are split."""

    task: Task
    tables: dict[Name, Table]
    examples: Examples
    split: SplitRule


# --- features, model, schedule ------------------------------------------------------------------------


class Block(Spec):
    """Columns that go through the same fitted steps, in order."""

    columns: list[str] = Field(min_length=1)
    steps: dict[str, Target]


class Features(Spec):
    """Numbers: row-wise expressions, then transforms that learn from the training split."""

    derive: dict[str, Sql] = {}
    blocks: dict[str, Block] = Field(min_length=1)


class EarlyStopping(Spec):
    """Stop when the monitored value has not improved for `patience` epochs."""

    patience: int = Field(ge=1)
    min_delta: float = Field(ge=0)


class Schedule(Spec):
    """How long, how fast, and when to stop."""

    optimizer: Target
    lr_schedule: Target
    batch_size: int = Field(ge=1)
    max_epochs: int = Field(ge=1)
    max_steps: int | None = Field(ge=1)
    gradient_clip: float | None = Field(gt=0)  # L2 norm of all gradients together
    monitor: str  # a validation metric: the best epoch is kept by it
    early_stopping: EarlyStopping | None


# --- where and how ------------------------------------------------------------------------------------


class Trainer(Spec):
    """Where training runs. `precision` and the limits change the result; the rest does not."""

    accelerator: Literal["cpu", "gpu", "auto"]
    devices: int | Literal["auto"]
    strategy: str
    num_nodes: int = Field(ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    threads: int = Field(ge=1)  # of torch in each process
    limit_batches: int | None = Field(ge=1)  # of each split and epoch; None: all
    overfit_batches: int | None = Field(ge=1)  # train and validate on these first batches only


class Tracker(Spec):
    """How the run is recorded in W&B. The plain files in the run folder are written in any case."""

    mode: Literal["offline", "online", "disabled"]
    project: str
    entity: str | None
    tags: list[str]
    upload_bundle: bool  # as an artifact, when online


class Evaluation(Spec):
    """What the test split is asked."""

    baselines: list[Literal["prior", "linear", "gradient_boosting"]]
    metric: str  # the one that the summary puts first
    threshold: float = Field(gt=0, lt=1)  # of the positive class, for the metrics that decide
    calibration_bins: int = Field(ge=2)
    parity_rows: int = Field(ge=0)  # predicted again one by one, to prove serving equal to evaluation


class Experiment(Spec):
    """A whole turn of the loop. The keys of `resolved.yaml` are these."""

    name: Name
    seed: int
    targets: list[str]
    data: Data
    features: Features
    model: Target
    schedule: Schedule
    trainer: Trainer
    tracker: Tracker
    evaluation: Evaluation
