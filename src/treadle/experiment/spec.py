"""The shape of an experiment: every key that a configuration may hold, with its type and its range.

One page shows the whole turn of the loop. Values are written in `conf/`; this file only says which are
sound. Structure that may be absent (no joins, no derived columns) defaults to empty; numbers have no default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from treadle.experiment.durations import parse_duration, parse_moment
from treadle.schema import Count, Positive, Sampling, Seed, Share, Task


class Spec(pydantic.BaseModel):
    """A node of the configuration. Unknown keys and silent conversions are refused."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(), defer_build=True, allow_inf_nan=False
    )


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


def _check_moment(text: str) -> str:
    parse_moment(text)
    return text


def _check_separator(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\"'":
        raise ValueError("must be one ASCII character, and neither a quote nor the end of a line")
    return text


def _check_word(text: str) -> str:
    if not text or "." in text:
        raise ValueError("a name here is not empty and holds no dot, which parts the names of a key")
    return text


def _check_project(text: str) -> str:
    if not set(text).isdisjoint("/\\#?%:"):
        raise ValueError("must hold none of / \\ # ? % :, which W&B refuses")
    return text


def _check_prefix(text: str) -> str:
    return _check_affix(text, touching=text.strip()[-1:])


def _check_suffix(text: str) -> str:
    return _check_affix(text, touching=text.strip()[:1])


def _check_affix(text: str, *, touching: str) -> str:
    """`touching` is the letter beside the number."""
    if not touching or touching.isdecimal() or text.strip()[0] in "-.,":
        raise ValueError(
            "must be a text beside a number: no blank alone, no digit that touches the number, no minus, point or "
            "comma at its start"
        )
    return text


def _check_target(node: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node.get("_target_"), str):
        raise ValueError("needs a `_target_`: the dotted path of a class or function")  # noqa: TRY004 - pydantic's way
    return node


def _tell_kind(value: Any) -> str:
    return "by_class" if isinstance(value, dict) else "word"


def is_rule(model: Any) -> bool:
    """Whether a model is a rule by which one is chosen, and no network yet."""
    return isinstance(model, ModelRule) or (isinstance(model, dict) and "ladder" in model and "_target_" not in model)


def _tell_model(value: Any) -> str:
    return "rule" if is_rule(value) else "network"


NO_AUGMENTATION = "treadle.training.augmentation.NoAugmentation"


def _read_switch(value: Any) -> Any:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "off", "on"], BeforeValidator(_read_switch)]  # YAML takes a bare `off` for false
Precision = Literal["32-true", "bf16-mixed", "16-mixed", "auto"]
Sql = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, AfterValidator(_check_duration)]  # "3h", "90m", "1d", "2w"
Moment = Annotated[str, AfterValidator(_check_moment)]  # ISO 8601, UTC: "2013-09-01"
Target = Annotated[dict[str, Any], AfterValidator(_check_target)]  # a `_target_` node, checked by signature
ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("word")] | Annotated[dict[str, Positive], Tag("by_class")],
    Discriminator(_tell_kind),
]
Separator = Annotated[str, AfterValidator(_check_separator)]  # ",", ";", "|", a tab
Thousands = Literal[",", ".", "'", " ", "\u00a0", "\u2009", "\u202f"]  # the last three: no-break, thin, narrow no-break
Value = bool | int | float | str  # of a column; `limits.py` holds it against the column's type
OnBreach = Literal["refuse", "warn", "allow"]
Word = Annotated[str, AfterValidator(_check_word)]  # a name that stands between the dots of a key
Prefix = Annotated[str, AfterValidator(_check_prefix)]  # before a number: "$", "EUR"
Suffix = Annotated[str, AfterValidator(_check_suffix)]  # after a number: "kg", "%", "m2"
Encoding = Literal[
    "utf-8",
    "utf-16",
    "latin-1",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "iso-8859-2",
    "iso-8859-5",
    "iso-8859-7",
    "iso-8859-15",
    "koi8-r",
    "koi8-u",
    "cp437",
    "cp850",
    "cp852",
    "cp866",
    "cp874",
    "mac-roman",
    "mac-cyrillic",
    "cp932",
    "euc-jp",
    "gb18030",
    "big5",
    "cp949",
]
Power = Annotated[int, Field(ge=-30, le=30)]  # of ten
Epoch = Literal["s", "ms", "us", "ns"]  # seconds, or a thousandth, millionth or billionth of one
Unreadable = Literal["refuse", "missing"]
Negative = Literal["parentheses", "trailing", "dash"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]  # it becomes that of a file
# What W&B refuses elsewhere.
RecordProject = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_project)]
RecordTag = Annotated[str, Field(min_length=1, max_length=64)]
RecordName = Annotated[str, Field(min_length=1, max_length=128)]


# --- data ---------------------------------------------------------------------------------------------


class Column(Spec):
    """The contract of one column of a table, checked as its rows enter."""

    dtype: Literal["int", "float", "bool", "str", "date", "datetime", "time"]  # the type that values are read as
    source: str | None = None  # the column's name in the file, where it differs: one that is reserved here, or awkward
    format: str | None = None  # of a date, a moment or a time of day in text: "%d/%m/%Y %H:%M"; None: ISO 8601
    epoch: Epoch | None = None  # of a moment that is a number: the unit of what has passed since 1970 in UTC
    thousands: Thousands | None = None  # between groups of digits in text: "," of 1,234.5; a space stands for any space
    decimal: Literal[".", ","] = "."  # of a number in text: "," of 1.234,5
    prefix: list[Prefix] = []  # texts that may stand before a number, such as "$"; blanks beside them do not matter
    suffix: list[Suffix] = []  # texts that may stand after a number, such as "%" or "kg"
    powers: dict[Suffix, Power] = {}  # texts after a number that stand for a power of ten: {k: 3} reads 1.5k as 1500
    negative: Negative | None = None  # a minus otherwise: parentheses (5), trailing 5-, dash: a longer one before it
    spellings: list[str] = []  # texts as they are meant: one that differs in the case of its letters alone is this one
    nullable: bool = False  # whether a value may be absent
    unique: bool = False  # whether each value stands once
    min: Value | None = None  # the smallest value that is sound, itself included: a number, a date or a moment
    max: Value | None = None  # the largest value that is sound, itself included: a number, a date or a moment
    allowed: list[Value] | None = None  # the only values that are sound, of the column's type
    missing: list[str] = []  # texts that mean "no value", such as "?"; blanks around them do not matter
    unreadable: Unreadable = "refuse"  # a value that the type cannot hold: refuse the table, or read it as missing
    max_age: Duration | None = None  # of a date or a moment: the newest may be this old when rows are read [duration]
    late: bool = False  # known only after the prediction: no feature of its own row may reach it

    def name_in_file(self, name: str) -> str:
        """The name that the column declared as `name` has in the file; it may be empty."""
        return name if self.source is None else self.source


class Join(Spec):
    """Columns of another table, looked up by key; the key must be unique there."""

    table: str  # the other table
    by: dict[str, str]  # column here: column there
    columns: dict[str, Sql]  # new column: expression over the other table


class Table(Spec):
    """One source of rows: files, contract, joins by key, derived columns, and when a row becomes known."""

    path: str  # relative to the project; a glob reads several files as one table
    separator: Separator | None = None  # between the fields of a text file; None: "," of .csv, a tab of .tsv
    quote: Literal['"', "'", ""] = '"'  # around a field of a text file that holds separators or line ends; "": none is
    encoding: Encoding = "utf-8"  # of a text file
    key: list[str] = []  # columns that together name a row: no two rows agree in all of them
    columns: dict[str, Column] = Field(min_length=1)  # the contract of each column that is read
    joins: dict[str, Join] = {}  # columns of other tables, looked up by key, by name of the join
    derive: dict[str, Sql] = {}  # new column: expression over a row
    known_at: Sql | None = None  # when a row becomes known; None: it was known all along


class AsOf(Spec):
    """Columns of the newest row of a table that was known at the moment of the prediction, never the example's own."""

    table: str  # the table that is looked back at
    by: dict[str, str]  # column here: column there
    within: Duration  # an older row counts as missing [duration]
    columns: dict[str, Sql]  # new column: expression over that row


class History(Spec):
    """Aggregates over the rows of a table that became known in the window before the prediction, without its own."""

    table: str  # the table that is looked back at
    by: dict[str, str]  # column here: column there
    window: Duration  # how far to look back from the prediction [duration]
    columns: dict[str, Sql]  # new column: AVG(expression), SUM(expression), COUNT(*); finite values count


class Examples(Spec):
    """One row per prediction: what it is about, when it is made, and the truth that came later."""

    table: str  # each of its rows is one example
    predict_at: Sql | None = None  # when the prediction is made; None: the rows carry no time
    exclude: dict[str, Sql] = {}  # reason: condition; each is counted in the summary
    known: list[str]  # columns of the table that are known when the prediction is made
    asof: dict[str, AsOf] = {}  # the newest row of another table, by name of the lookup
    history: dict[str, History] = {}  # aggregates over the past, by name of the window
    label: Sql  # what is to be predicted
    weight: Sql | None = None  # how much a row counts in training; None: all the same


class TimeSplit(Spec):
    """Train before `valid_from`, valid before `test_from`, test from there; `gap` is left out before each."""

    by: Literal["time"]  # the kind of split
    valid_from: Moment  # the first moment of validation [UTC]
    test_from: Moment  # the first moment of the test [UTC]
    gap: Duration  # left out before validation and before the test [duration]


class RandomSplit(Spec):
    """Shares of the rows, drawn without regard to their content."""

    by: Literal["random"]  # the kind of split
    valid: Share  # validation's share of the rows
    test: Share  # the test's share of the rows
    seed: Seed  # of the draw


class StratifiedSplit(Spec):
    """Random within each value of a column, so that every split has the same mix."""

    by: Literal["stratified"]  # the kind of split
    column: str  # each of its values has the same share in every split
    valid: Share  # validation's share of the rows
    test: Share  # the test's share of the rows
    seed: Seed  # of the draw


class GroupSplit(Spec):
    """Random over the values of a column: no group stands in two splits."""

    by: Literal["group"]  # the kind of split
    column: str  # its values name the groups
    valid: Share  # validation's share of the groups
    test: Share  # the test's share of the groups
    seed: Seed  # of the draw


class ColumnSplit(Spec):
    """A column of the data already says it. A missing validation set is drawn from training."""

    by: Literal["column"]  # the kind of split
    column: str  # says which split a row belongs to
    train: list[str]  # values of the column that mean training
    test: list[str]  # values of the column that mean test
    valid: list[str] = []  # values of the column that mean validation
    valid_share: Share | None = None  # of the training rows, when `valid` is empty
    seed: Seed  # of the draw


SplitRule = Annotated[TimeSplit | RandomSplit | StratifiedSplit | GroupSplit | ColumnSplit, Discriminator("by")]


class Data(Spec):
    """Rows: where they come from, what they promise, and how they are split."""

    task: Task  # what kind of answer the label is
    tables: dict[Name, Table]  # sources of rows, by name
    examples: Examples  # one row per prediction
    split: SplitRule  # which rows train, choose and judge
    on_breach: OnBreach = "refuse"  # rows to predict that break the contract: refuse, warn and predict, or allow


# --- features, model, schedule ------------------------------------------------------------------------


class Block(Spec):
    """Columns that go through the same fitted steps, in order."""

    columns: list[str] = Field(min_length=1)  # of the examples, or derived
    steps: dict[Word, Target]  # transforms in order, by name; a `_target_` each


class Features(Spec):
    """Numbers: row-wise expressions, then transforms that learn from the training split."""

    derive: dict[str, Sql] = {}  # new column: expression over one example
    blocks: dict[Word, Block] = Field(min_length=1)  # groups of columns with the same steps, by name
    fit_rows: Count | None = None  # steps learn from so many training rows, drawn evenly; None: all, in memory [rows]


class Rung(Spec):
    """A model that may be chosen, and how many rows it wants."""

    option: str  # of the group `model`
    set: dict[str, Any] = {}  # values of the option that differ here
    min_rows: int = Field(default=0, ge=0)  # of the training split: with fewer it is passed over [rows]


class Speed(Spec):
    """What a nominal device does in training; a statement, so that the choice is the same on every machine."""

    step: float = Field(ge=0)  # what a step takes, whatever its size [seconds]
    products: float = Field(gt=0)  # multiplications with weights in a second
    values: float = Field(gt=0)  # numbers that layers write in a second


class Speeds(Spec):
    """Nominal devices: one core, one GPU."""

    cpu: Speed  # one core
    gpu: Speed  # one GPU


class ModelRule(Spec):
    """A rule in place of a network: of the rungs that train within the budget the last one is taken."""

    budget: Duration  # what training may take on the nominal device [duration]
    ladder: list[Rung] = Field(min_length=1)  # the better a model, the later it stands
    speeds: Speeds  # of the nominal devices


class ModelChoice(Spec):
    """What was chosen by a rule, and why: a record that nothing reads."""

    option: str  # of the group `model`
    set: dict[str, Any]  # values of the option that differ
    why: str  # in words
    budget: Duration  # what training may take on the nominal device [duration]
    predicted: float  # what training takes there, if no epoch is spared [seconds]
    device: Literal["cpu", "gpu"]  # the kind of nominal device
    rows: int  # of the training split, before any is excluded [rows]
    source: Literal["footers", "heads"]  # of the rows: Parquet's footers, or reckoned from the heads of text files
    numbers: int  # that the model sees of a row, after bins and cycles
    categories: int  # columns of ids that it sees

    def __str__(self) -> str:
        """The option, its values that differ, and why."""
        values = ", ".join(f"{name} {value}" for name, value in self.set.items())
        return f"{self.option}{f' ({values})' if values else ''}: {self.why}"


class EarlyStopping(Spec):
    """Stop when the monitored value has not improved for `patience` epochs."""

    patience: int = Field(ge=1)  # how long to wait for an improvement [epochs]
    min_delta: float = Field(ge=0)  # a smaller change is no improvement


Model = Annotated[Annotated[Target, Tag("network")] | Annotated[ModelRule, Tag("rule")], Discriminator(_tell_model)]


class Schedule(Spec):
    """How long, how fast, and when to stop."""

    optimizer: Target  # how weights follow gradients; a `_target_`
    lr_schedule: Target  # factor of the learning rate by step; a `_target_`
    batch_size: int = Field(ge=1)  # of one step of training [rows]
    # The default is for a schedule of a project's own that is older than the key.
    sampling: Sampling = "shuffle"  # shuffle: every row once an epoch; balanced: each class as often as any other
    shuffle_buffer: Count | None = None  # rows are read from disk, and mixed among so many; None: in memory [rows]
    max_epochs: int = Field(ge=1)  # passes over the training split at most [epochs]
    max_steps: int | None = Field(ge=1)  # updates of the weights at most; None: no such limit [steps]
    gradient_clip: float | None = Field(
        gt=0
    )  # L2 norm of all gradients (of each member in an ensemble) at most; None: not clipped
    monitor: str  # a validation metric: the best epoch is kept by it
    early_stopping: EarlyStopping | None  # None: train to the end


class Loss(Spec):
    """What training minimises. Whatever it is, the verdict's metrics and baselines stay the same."""

    # The default is for a project whose conf/ chooses no loss; a test holds it equal to conf/loss/default.yaml.
    function: Target = {"_target_": "treadle.training.losses.TaskLoss"}  # the cost of a row; a `_target_`
    class_weights: ClassWeights | None = None  # how much each row of a class counts; None: all alike


# --- where and how ------------------------------------------------------------------------------------


class Trainer(Spec):
    """Where training runs. All of it can change the result, if only by rounding."""

    accelerator: Literal["cpu", "gpu", "auto"]  # kind of device; auto: a GPU where this machine has one
    devices: int | Literal["auto"]  # how many on each node; auto: all GPUs of this machine, or one CPU
    strategy: str  # how several devices share the work, by Lightning's name
    num_nodes: int = Field(ge=1)  # machines
    precision: Precision  # of numbers in training; auto: bf16-mixed where the device and the sizes suit it [bits]
    compile: Switch = "off"  # steps into one graph; auto: where the steps ahead repay compiling
    threads: int = Field(ge=1, le=4096)  # of torch in each process
    limit_batches: int | None = Field(ge=1)  # of each split and epoch; None: all [batches]
    overfit_batches: int | None = Field(ge=1)  # train and validate on these first ones only; None: on all [batches]

    @property
    def num_processes(self) -> int:
        """They share the rows of each step."""
        assert isinstance(self.devices, int), "check() settles it"
        return self.devices * self.num_nodes


class Tracker(Spec):
    """How the run is recorded in W&B. The plain files in the run folder are written in any case.

    W&B's environment variables hold over it: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY, WANDB_RUN_GROUP, WANDB_JOB_TYPE,
    WANDB_NAME and WANDB_NOTES; the tags of WANDB_TAGS are added. `mode: disabled` holds over all.
    """

    mode: Literal["offline", "online", "disabled"]  # offline: to upload later; online: live; disabled: not in W&B
    project: RecordProject  # name of the project in W&B
    entity: RecordName | None  # user or team in W&B; None: the account's own
    tags: list[RecordTag]  # labels of the run in W&B
    # The defaults are for a tracker of a project's own that is older than the keys.
    group: RecordName | None = None  # what W&B shows the run under, such as the folds of one experiment
    job_type: RecordName | None = None  # kind of the run in W&B, such as train
    system_metrics: bool = False  # use of CPU, memory, disk and GPU, measured while the run lasts
    upload_bundle: bool  # store the bundle as an artifact, when online


class Evaluation(Spec):
    """What the test split is asked."""

    baselines: list[Literal["prior", "linear", "gradient_boosting"]]  # trained and judged beside the model
    metric: str  # the one that the summary puts first
    threshold: float = Field(gt=0, lt=1)  # from it on a row is positive, for the metrics that decide [probability]
    calibration_bins: int = Field(ge=2, le=10_000)  # of the calibration curve
    parity_rows: int = Field(ge=0)  # predicted again one by one, to prove serving equal to evaluation [rows]


class Experiment(Spec):
    """A whole turn of the loop. The keys of `resolved.yaml` are these."""

    name: Name  # names the run folder; each experiment gives its own
    seed: Seed  # of initial weights and the order of batches
    targets: list[str]  # where a `_target_` may come from, as prefixes of dotted paths
    data: Data  # rows
    features: Features  # numbers
    model: Model  # the network; a `_target_`, or a rule by which it is chosen
    schedule: Schedule  # how long and how fast to train
    loss: Loss = Field(default_factory=Loss)  # what training minimises
    # The default is for a project whose conf/ chooses none; a test holds it equal to conf/augmentation/none.yaml.
    augmentation: Target = {"_target_": NO_AUGMENTATION}  # how rows are mixed while training; a `_target_`
    trainer: Trainer  # where training runs
    tracker: Tracker  # how the run is recorded
    evaluation: Evaluation  # what the test split is asked
    model_choice: ModelChoice | None = None  # how the model was chosen, where a rule chose it
    question: str | None = None  # what the experiment asks: the first comment of its file

    @property
    def network(self) -> dict[str, Any]:
        """The node of the network, which is chosen when an experiment is frozen."""
        assert not isinstance(self.model, ModelRule), "check() chooses"
        return self.model


RECORDS = ("model_choice", "question")  # keys that Treadle writes into resolved.yaml; no configuration may hold them
