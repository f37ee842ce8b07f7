"""Consistency: names that refer to other names, values that must fit each other, devices that the machine must have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import pairwise

from treadle.check.columns import find_name_fault
from treadle.data.datetime_formats import reads_back
from treadle.data.formats import guess_format
from treadle.experiment.blocks import PERIODS, ROW, get_group, list_example_columns
from treadle.experiment.durations import parse_duration, parse_moment
from treadle.experiment.spec import (
    AnyExperiment,
    Column,
    ColumnSplit,
    Data,
    Experiment,
    RandomFolds,
    RecencySample,
    Table,
    TimeSeriesFolds,
    TimeSplit,
    WeightSample,
    get_split_column,
)
from treadle.hardware import count_gpus
from treadle.hints import nearest
from treadle.metrics.registry import find_metric, find_task_metric, monitor_names
from treadle.problems import Problem
from treadle.schema import LABEL
from treadle.tracking import explain_missing

_NUMBERS, _TIMES = ("int", "float"), ("date", "datetime", "time")
_OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {  # option of a column: the types that it applies to, and their name
    **dict.fromkeys(("thousands", "decimal", "prefix", "suffix", "powers", "negative"), (_NUMBERS, "numbers")),
    "format": (_TIMES, "dates and times"),
    "epoch": (("datetime",), "datetimes"),
    "spellings": (("str",), "strings"),
    **dict.fromkeys(("folder", "height", "width", "channels"), (("image",), "images")),
}
_DATE_FORMAT = 'write year, month and day, such as "%d/%m/%Y %H:%M"; an offset is %z'
_TIME_FORMAT = 'write hour and minute, such as "%H:%M" or "%I:%M %p"'
STRATEGIES = ("auto", "ddp", "ddp_spawn", "ddp_fork", "ddp_notebook", "ddp_find_unused_parameters_true", "fsdp")


def check_metrics(experiment: Experiment) -> Iterator[Problem]:
    """Metrics that the task defines."""
    task = experiment.data.task
    for name in experiment.metrics:
        if find_task_metric(experiment.data.answer, name) is not None:
            rule = f"{name!r} is a metric of the task {task!r} already"
            yield Problem(f"metrics.{name}", rule, "give your own another name", part="key")
    for key, name in (
        ("schedule.monitor", experiment.schedule.monitor),
        ("evaluation.metric", experiment.evaluation.metric),
        *_list_checked(experiment),
    ):
        if find_metric(experiment, name) is None:
            rule = f"{name!r} is not a metric of the task {task!r}"
            yield Problem(key, rule, hint=nearest(name, monitor_names(experiment)))


def _list_checked(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """The metrics that Treadle's own checks of the evaluation name, with their keys."""
    for code, check in experiment.evaluation.checks.items():
        if check is not None and check.function["_target_"].startswith("treadle.") and "metric" in check.function:
            yield f"evaluation.checks.{code}.function.metric", str(check.function["metric"])


def check_tracker(experiment: AnyExperiment) -> Iterator[Problem]:
    """A tracker whose library is installed."""
    missing = explain_missing(experiment.tracker.by)
    if missing is not None:
        yield Problem("tracker.by", missing, "install it, or choose another tracker, such as tracker=csv")


def check_refit(experiment: Experiment) -> Iterator[Problem]:
    """Rows in memory, where two splits are joined; and no callbacks: they would be in one of two trainings alone."""
    if experiment.schedule.refit == "all" and experiment.callbacks:
        rule = "'all' trains a second time, without validation, in which callbacks of your own take no part"
        yield Problem("schedule.refit", rule, "set it to none, or remove the callbacks")
    elif experiment.schedule.refit == "all" and experiment.schedule.shuffle_buffer is not None:
        rule = "'all' joins the rows of train and valid in memory, and schedule.shuffle_buffer streams them from disk"
        yield Problem("schedule.refit", rule, "set it to none, or schedule.shuffle_buffer to null")


def find_memory_use(experiment: Experiment) -> Iterator[Problem]:
    """Warnings of what reads whole splits into memory while training streams them."""
    if experiment.schedule.shuffle_buffer is None:
        return
    if experiment.features.fit_rows is None:
        rule = (
            "featurize reads the whole training split into memory; training reads no more than schedule.shuffle_buffer"
        )
        yield Problem("features.fit_rows", rule, "set the number of rows that transforms are fitted on, such as 500000")
    if experiment.evaluation.baselines:
        rule = "baselines read whole splits into memory; training reads no more than schedule.shuffle_buffer"
        yield Problem("evaluation.baselines", rule, "set it to [] if they do not fit into memory")


def check_examples_table(experiment: Experiment) -> Iterator[Problem]:
    """The examples' own table exists."""
    tables, name = experiment.data.tables, experiment.data.examples.table
    if name not in tables:
        yield Problem("data.examples.table", f"no table {name!r}", hint=nearest(name, tables))


def check_table_options(experiment: Experiment) -> Iterator[Problem]:
    """Options of tables and columns that fit each other, the kind of file and the type of column."""
    for name, table in experiment.data.tables.items():
        key = f"data.tables.{name}"
        known = guess_format(table.path)
        if known is not None and not known.is_text:
            for option in ("separator", "encoding", "quote"):
                if getattr(table, option) != Table.model_fields[option].default:
                    yield Problem(f"{key}.{option}", f"{table.path!r} is not a text file", "remove it")
        if known is not None and not known.has_sheets and table.sheet is not None:
            yield Problem(f"{key}.sheet", f"{table.path!r} has no sheets", "remove it")
        for column, spec in table.columns.items():
            yield from _check_name(f"{key}.columns.{column}", column, spec, table)
            yield from _check_options(f"{key}.columns.{column}", spec)


def _check_name(key: str, name: str, column: Column, table: Table) -> Iterator[Problem]:
    fault = find_name_fault(name)
    if fault:
        yield Problem(key, fault, f"declare it under another name, with `source: {name!r}`")
    other = table.columns.get(column.source) if column.source is not None else None
    if other is not None and other is not column:
        rule = f"{column.source!r} is also declared as a column: in a row to predict the two could not be distinguished"
        yield Problem(f"{key}.source", rule, "rename that column")


def _check_options(key: str, column: Column) -> Iterator[Problem]:
    for option, (dtypes, kind) in _OPTIONS.items():
        if getattr(column, option) != Column.model_fields[option].default and column.dtype not in dtypes:
            yield Problem(f"{key}.{option}", f"is an option of {kind}; the column is {column.dtype}", "remove it")
    if column.dtype in _NUMBERS and column.thousands == column.decimal:
        yield Problem(f"{key}.thousands", f"{column.thousands!r} is already the `decimal` separator")
    if column.epoch is not None and column.format is not None:
        yield Problem(f"{key}.format", "`format` and `epoch` exclude each other", "remove one of them")
    elif column.format is not None and column.dtype in _TIMES and not reads_back(column):
        rule = f"{column.format!r} is not a valid format: a {column.dtype} written with it cannot be read back"
        yield Problem(f"{key}.format", rule, _TIME_FORMAT if column.dtype == "time" else _DATE_FORMAT)
    folded = [spelling.lower() for spelling in column.spellings]
    if len(set(folded)) < len(folded):
        yield Problem(f"{key}.spellings", "two of them differ only in case", "remove one of them")


def check_lookups(experiment: Experiment) -> Iterator[Problem]:
    """Point-in-time lookups: they need `predict_at`, and `known_at` of each table that they read."""
    data = experiment.data
    looked_up = [asof.table for asof in data.examples.asof.values()]
    looked_up += [history.table for history in data.examples.history.values()]
    if data.examples.predict_at is None and looked_up:
        yield Problem("data.examples.predict_at", "must be given: `asof` and `history` look back from it")
    for table in dict.fromkeys(looked_up):
        if table in data.tables and data.tables[table].known_at is None:
            rule = "must be given: `asof` and `history` look the table up by it"
            yield Problem(f"data.tables.{table}.known_at", rule)


def check_intervals(experiment: Experiment) -> Iterator[Problem]:
    """Blocks that the examples can be put into."""
    settings, data = experiment.evaluation.intervals, experiment.data
    if settings is None or settings.blocks in {"auto", ROW}:
        return
    key = "evaluation.intervals.blocks"
    if settings.blocks in PERIODS:
        if data.examples.predict_at is None:
            rule = f"{settings.blocks!r} needs the time of the examples, data.examples.predict_at"
            yield Problem(key, rule, "set it to auto", fix_override=f"{key}=auto")
        return
    yield from _require_columns({key: settings.blocks}, data, beside=("auto", ROW, *PERIODS))


def _require_columns(named: Mapping[str, str], data: Data, *, beside: Iterable[str] = ()) -> Iterator[Problem]:
    """A column of the examples at each dotted key; what else the key takes stands beside them in the hint."""
    columns = list_example_columns(data)
    for key, name in named.items():
        if name not in columns:
            rule = f"no column {name!r} in the examples: data.examples.known and what they look up"
            yield Problem(key, rule, hint=nearest(name, [*beside, *columns]))


def _key_items(key: str, names: Iterable[str]) -> dict[str, str]:
    return {f"{key}.{index}": name for index, name in enumerate(names)}


def check_reference(experiment: Experiment) -> Iterator[Problem]:
    """Blocks and columns that the examples have."""
    settings, data = experiment.evaluation.reference, experiment.data
    if settings is None:
        return
    key = "evaluation.reference"
    if settings.blocks in PERIODS and data.examples.predict_at is None:
        rule = f"{settings.blocks!r} needs the time of the examples, data.examples.predict_at"
        yield Problem(f"{key}.blocks", rule, "set it to auto", fix_override=f"{key}.blocks=auto")
    yield from _require_columns(_key_items(f"{key}.ignore", settings.ignore), data)


def check_explanation(experiment: Experiment) -> Iterator[Problem]:
    """Groups of columns that the examples have, each in one group."""
    settings = experiment.evaluation.explanation
    if settings is not None and settings.attributions and find_spec("captum") is None:
        rule = "needs captum, which is not installed"
        yield Problem("evaluation.explanation.attributions", rule, "`pip install treadle[explain]`, or set it to 0")
    seen: dict[str, str] = {}
    for group, names in settings.groups.items() if settings is not None else ():
        for key, name in _key_items(f"evaluation.explanation.groups.{group}", names).items():
            yield from _require_columns({key: name}, experiment.data)
            if name in seen:
                yield Problem(key, f"{name!r} is in the group {seen[name]!r} already: a column is permuted once")
            seen.setdefault(name, group)


def check_naive(experiment: Experiment) -> Iterator[Problem]:
    """A time, columns that the examples have, and a season that moves."""
    settings, data = experiment.evaluation.naive, experiment.data
    if settings is None:
        return
    if data.examples.predict_at is None:
        rule = "the last value of a series needs the time of the examples, data.examples.predict_at"
        yield Problem("evaluation.naive", rule, "set it to null", fix_override="evaluation.naive=null")
    if settings.season is not None and not parse_duration(settings.season):
        yield Problem("evaluation.naive.season", f"must be longer than nothing; found {settings.season!r}")
    yield from _require_columns(_key_items("evaluation.naive.by", settings.by), data)


def check_questions(experiment: Experiment) -> Iterator[Problem]:
    """Columns that the examples have."""
    settings = experiment.evaluation.questions
    if settings is not None:
        yield from _require_columns(_key_items("evaluation.questions.ignore", settings.ignore), experiment.data)


def find_split_group(experiment: Experiment) -> Iterator[Problem]:
    """Rows of a group hang together; without its column, the intervals would not know."""
    settings, group = experiment.evaluation.intervals, get_group(experiment.data)
    if settings is None or settings.blocks != "auto" or group is None:
        return
    if group not in list_example_columns(experiment.data):
        rule = f"auto would resample the groups of the split, but {group!r} is not in data.examples.known: "
        yield Problem("evaluation.intervals.blocks", f"{rule}intervals will be too narrow", f"add {group} there")


def check_split(experiment: Experiment) -> Iterator[Problem]:
    """Shares and values that leave rows to every split."""
    split = experiment.data.split
    if isinstance(split, TimeSplit | TimeSeriesFolds) and experiment.data.examples.predict_at is None:
        yield Problem("data.examples.predict_at", "must be given: the split is by time")
    yield from _check_split_column(experiment)
    match split:
        case TimeSplit():
            yield from _check_moments(split)
        case ColumnSplit():
            yield from _check_named_splits(split)
        case RandomFolds() | TimeSeriesFolds():
            if split.fold >= split.num_folds:
                rule = f"must be below the number of folds, which is {split.num_folds}; found {split.fold}"
                yield Problem("data.split.fold", rule, f"choose one from 0 to {split.num_folds - 1}")
        case _:
            if split.valid + split.test >= 1:
                rule = f"valid and test leave no rows for training: {split.valid:g} + {split.test:g}"
                yield Problem("data.split.valid", rule)


def check_sample(experiment: Experiment) -> Iterator[Problem]:
    """What the rows of a sample are drawn by."""
    data = experiment.data
    match data.sample:
        case WeightSample() if data.examples.weight is None:
            rule = "the rows have no weight: data.examples.weight is null"
            yield Problem("data.sample.by", rule, "draw by uniform", fix_override="data.sample.by=uniform")
        case RecencySample():
            if data.examples.predict_at is None:
                yield Problem("data.sample.by", "recency needs the time of the examples, data.examples.predict_at")
            if not parse_duration(data.sample.half_life):
                rule = f"must be longer than nothing; found {data.sample.half_life!r}"
                yield Problem("data.sample.half_life", rule)


def _check_moments(split: TimeSplit) -> Iterator[Problem]:
    """Each moment before the next: `train_from`, `valid_from`, `test_from`, `test_to`."""
    names = [name for name in ("train_from", "valid_from", "test_from", "test_to") if getattr(split, name) is not None]
    for name, later in pairwise(names):
        before, after = getattr(split, name), getattr(split, later)
        if parse_moment(before) >= parse_moment(after):
            yield Problem(f"data.split.{name}", f"{before!r} must be before {later}, which is {after!r}")


def _check_named_splits(split: ColumnSplit) -> Iterator[Problem]:
    if split.valid and split.valid_share is not None:
        yield Problem(
            "data.split.valid_share", "`valid` and `valid_share` exclude each other", "set one of them to null"
        )
    if not split.valid and split.valid_share is None:
        yield Problem("data.split.valid", "needs values, or `valid_share` a share of the training rows")
    parts = (("train", split.train), ("valid", split.valid), ("test", split.test))
    seen: dict[str, str] = {}
    for name, values in parts:
        for index, value in enumerate(values):
            if value in seen:
                rule = f"{value!r} is already in {seen[value]}: a row belongs to one split"
                yield Problem(f"data.split.{name}.{index}", rule)
            seen.setdefault(value, name)


def _check_split_column(experiment: Experiment) -> Iterator[Problem]:
    data = experiment.data
    column, table = get_split_column(data.split), data.tables.get(data.examples.table)
    if column is None or table is None:
        return
    joined = (name for join in table.joins.values() for name in join.columns)
    present = {*table.columns, *joined, *table.derive, LABEL}
    if column not in present:
        rule = f"no column {column!r} in {data.examples.table!r}"
        yield Problem("data.split.column", rule, hint=nearest(column, present))


def check_trainer(experiment: AnyExperiment) -> Iterator[Problem]:
    """Devices, precision and strategy that this machine supports."""
    trainer = experiment.trainer
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        yield Problem("trainer.precision", "'16-mixed' needs a GPU; on a CPU use 32-true or bf16-mixed")
    if trainer.strategy not in STRATEGIES:
        rule = f"{trainer.strategy!r} is not a strategy"
        yield Problem("trainer.strategy", rule, hint=nearest(trainer.strategy, STRATEGIES))
    if isinstance(trainer.devices, int) and trainer.devices < 1:
        yield Problem("trainer.devices", f"must be at least 1, found {trainer.devices}")
    if trainer.accelerator != "gpu" or (experiment.sweep is not None and experiment.sweep.engine.by != "local"):
        return  # what a cluster has is not known here
    found, why = count_gpus()
    requested = trainer.devices if isinstance(trainer.devices, int) else 1
    if found == 0:
        yield Problem("trainer.accelerator", f"'gpu' is requested, but {why}", "add the override trainer=cpu")
    elif requested > found:
        yield Problem("trainer.devices", f"{requested} GPUs are requested, but this machine has {found}")
