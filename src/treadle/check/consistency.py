"""Names that refer to names, values that must fit each other, and the machine that must have what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from treadle.check.columns import find_name_fault
from treadle.data.datetime_formats import reads_back
from treadle.experiment.durations import parse_moment
from treadle.experiment.spec import Column, ColumnSplit, Experiment, Table, TimeSplit
from treadle.hardware import count_gpus
from treadle.hints import nearest
from treadle.metrics.registry import find_metric, monitor_names
from treadle.problems import Problem
from treadle.schema import BINARY_CLASSES, LABEL
from treadle.targets.annotations import list_options
from treadle.targets.signatures import UnknownTargetError, read_signature

_NUMBERS, _MOMENTS = ("int", "float"), ("date", "datetime", "time")
_MARKS: dict[str, tuple[tuple[str, ...], str]] = {  # of a column: the types that have it, and what they are called
    **dict.fromkeys(("thousands", "decimal", "prefix", "suffix", "powers", "negative"), (_NUMBERS, "numbers")),
    "format": (_MOMENTS, "dates and moments"),
    "epoch": (("datetime",), "moments"),
    "spellings": (("str",), "texts"),
}
_DATE_FORMAT = 'write year, month and day, such as "%d/%m/%Y %H:%M"; an offset is %z'
_TIME_FORMAT = 'write hour and minute, such as "%H:%M" or "%I:%M %p"'
STRATEGIES = ("auto", "ddp", "ddp_spawn", "ddp_fork", "ddp_notebook", "ddp_find_unused_parameters_true", "fsdp")


def check_metrics(experiment: Experiment) -> Iterator[Problem]:
    """Metrics that the task has."""
    task = experiment.data.task
    for key, name in (
        ("schedule.monitor", experiment.schedule.monitor),
        ("evaluation.metric", experiment.evaluation.metric),
    ):
        if find_metric(task=task, name=name) is None:
            rule = f"{name!r} is not a metric of the task {task!r}"
            yield Problem(key, rule, hint=nearest(name, monitor_names(task)))


def check_loss(experiment: Experiment) -> Iterator[Problem]:
    """A loss that is for the task, and weights of classes that it has."""
    task, path = experiment.data.task, experiment.loss.function["_target_"]
    tasks = _list_tasks(path)
    if tasks and task not in tasks:
        rule = f"{path} is for the task {' or '.join(map(repr, tasks))}; data.task is {task!r}"
        yield Problem("loss.function._target_", rule, "choose another loss; loss=default fits every task")
    weights = experiment.loss.class_weights
    if weights is not None and task == "regression":
        yield Problem("loss.class_weights", "a regression has no classes", "set it to null")
    elif task == "binary" and isinstance(weights, Mapping):
        for name in weights:
            if name not in BINARY_CLASSES:
                rule = f"no class {name!r}: those of a binary task are 'negative' and 'positive'"
                yield Problem(f"loss.class_weights.{name}", rule, hint=nearest(name, BINARY_CLASSES))


def check_sampling(experiment: Experiment) -> Iterator[Problem]:
    """Classes to balance, in memory, and one way to do it."""
    if experiment.schedule.sampling != "balanced":
        return
    if experiment.schedule.shuffle_buffer is not None:
        rule = "rows that are streamed from disk cannot be drawn by class"
        way_out = "set schedule.shuffle_buffer to null, or balance by loss.class_weights"
        yield Problem("schedule.sampling", rule, way_out)
    if experiment.data.task == "regression":
        yield Problem("schedule.sampling", "a regression has no classes to balance", "set it to shuffle")
    elif experiment.loss.class_weights == "balanced":
        rule = "schedule.sampling and loss.class_weights both balance the classes: rare ones would count twice over"
        yield Problem("schedule.sampling", rule, "set it to shuffle, or loss.class_weights to null")


def find_in_memory(experiment: Experiment) -> Iterator[Problem]:
    """A word on what reads whole splits into memory, where training does not."""
    if experiment.schedule.shuffle_buffer is None:
        return
    if experiment.features.fit_rows is None:
        rule = "featurize reads the whole training split into memory, and training no more than schedule.shuffle_buffer"
        yield Problem("features.fit_rows", rule, "say how many rows steps are to learn from, such as 500000")
    if experiment.evaluation.baselines:
        rule = "baselines read whole splits into memory, and training no more than schedule.shuffle_buffer"
        yield Problem("evaluation.baselines", rule, "set it to [] where they do not fit")


def _list_tasks(path: str) -> list[str]:
    """The tasks that the annotation of a loss's argument `task` allows; none where it says nothing."""
    try:
        parameter = read_signature(path).parameters.get("task")
    except (UnknownTargetError, SyntaxError):  # told by the check of targets
        return []
    return list_options(parameter.type) if parameter is not None else []


def check_tables(experiment: Experiment) -> Iterator[Problem]:
    """The examples' own table exists."""
    tables, name = experiment.data.tables, experiment.data.examples.table
    if name not in tables:
        yield Problem("data.examples.table", f"no table {name!r}", hint=nearest(name, tables))


def check_sources(experiment: Experiment) -> Iterator[Problem]:
    """What a table says of its files and their texts fits together."""
    for name, table in experiment.data.tables.items():
        key = f"data.tables.{name}"
        if table.path.lower().endswith(".parquet"):
            for option in ("separator", "encoding", "quote"):
                if getattr(table, option) != Table.model_fields[option].default:
                    yield Problem(f"{key}.{option}", f"{table.path!r} is no text file", "remove it")
        for column, spec in table.columns.items():
            yield from _check_name(f"{key}.columns.{column}", column, spec, table)
            yield from _check_marks(f"{key}.columns.{column}", spec)


def _check_name(key: str, name: str, column: Column, table: Table) -> Iterator[Problem]:
    fault = find_name_fault(name)
    if fault:
        yield Problem(key, fault, f"declare it under another name, with `source: {name!r}`")
    other = table.columns.get(column.source) if column.source is not None else None
    if other is not None and other is not column:
        rule = f"{column.source!r} is declared as a column of its own: a row to predict could not tell the two apart"
        yield Problem(f"{key}.source", rule, "give that column another name, too")


def _check_marks(key: str, column: Column) -> Iterator[Problem]:
    for mark, (dtypes, kind) in _MARKS.items():
        if getattr(column, mark) != Column.model_fields[mark].default and column.dtype not in dtypes:
            yield Problem(f"{key}.{mark}", f"is a mark of {kind}, and the column is {column.dtype}", "remove it")
    if column.dtype in _NUMBERS and column.thousands == column.decimal:
        yield Problem(f"{key}.thousands", f"{column.thousands!r} is the mark of the fraction already: see `decimal`")
    if column.epoch is not None and column.format is not None:
        yield Problem(f"{key}.format", "`format` and `epoch` exclude each other", "remove one of them")
    elif column.format is not None and column.dtype in _MOMENTS and not reads_back(column):
        rule = f"{column.format!r} is no format: a {column.dtype} that is written by it cannot be read by it"
        yield Problem(f"{key}.format", rule, _TIME_FORMAT if column.dtype == "time" else _DATE_FORMAT)
    folded = [spelling.lower() for spelling in column.spellings]
    if len(set(folded)) < len(folded):
        yield Problem(f"{key}.spellings", "two of them differ in the case of their letters alone", "remove one of them")


def check_moments(experiment: Experiment) -> Iterator[Problem]:
    """Looking back needs a moment to look back from, and tables that say when a row is known."""
    data = experiment.data
    looked_up = [asof.table for asof in data.examples.asof.values()]
    looked_up += [history.table for history in data.examples.history.values()]
    if data.examples.predict_at is None and looked_up:
        yield Problem("data.examples.predict_at", "must be given: `asof` and `history` look back from it")
    for table in dict.fromkeys(looked_up):
        if table in data.tables and data.tables[table].known_at is None:
            rule = "must be given: `asof` and `history` look the table up by it"
            yield Problem(f"data.tables.{table}.known_at", rule)


def check_split(experiment: Experiment) -> Iterator[Problem]:
    """Shares and values that leave rows to every split."""
    split = experiment.data.split
    if split.by == "time" and experiment.data.examples.predict_at is None:
        yield Problem("data.examples.predict_at", "must be given: the split is by time")
    yield from _check_split_column(experiment)
    if isinstance(split, TimeSplit) and parse_moment(split.valid_from) >= parse_moment(split.test_from):
        rule = f"{split.valid_from!r} must be before test_from, which is {split.test_from!r}"
        yield Problem("data.split.valid_from", rule)
    if isinstance(split, ColumnSplit):
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
                    rule = f"{value!r} stands in {seen[value]} already: a row belongs to one split"
                    yield Problem(f"data.split.{name}.{index}", rule)
                seen.setdefault(value, name)
    elif not isinstance(split, TimeSplit) and split.valid + split.test >= 1:
        rule = f"valid and test together leave nothing to train on: {split.valid:g} + {split.test:g}"
        yield Problem("data.split.valid", rule)


def _check_split_column(experiment: Experiment) -> Iterator[Problem]:
    data = experiment.data
    column, table = getattr(data.split, "column", None), data.tables.get(data.examples.table)
    if column is None or table is None:
        return
    joined = (name for join in table.joins.values() for name in join.columns)
    present = {*table.columns, *joined, *table.derive, LABEL}
    if column not in present:
        rule = f"no column {column!r} in {data.examples.table!r}"
        yield Problem("data.split.column", rule, hint=nearest(column, present))


def check_trainer(experiment: Experiment) -> Iterator[Problem]:
    """What the machine must have."""
    trainer = experiment.trainer
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        yield Problem("trainer.precision", "'16-mixed' needs a GPU; a CPU trains in 32-true or bf16-mixed")
    if trainer.strategy not in STRATEGIES:
        rule = f"{trainer.strategy!r} is not a strategy"
        yield Problem("trainer.strategy", rule, hint=nearest(trainer.strategy, STRATEGIES))
    if isinstance(trainer.devices, int) and trainer.devices < 1:
        yield Problem("trainer.devices", f"must be at least 1, found {trainer.devices}")
    if trainer.accelerator != "gpu":
        return
    found, why = count_gpus()
    asked = trainer.devices if isinstance(trainer.devices, int) else 1
    if found == 0:
        yield Problem("trainer.accelerator", f"'gpu' is asked for, and {why}", "add the override trainer=cpu")
    elif asked > found:
        yield Problem("trainer.devices", f"{asked} GPUs are asked for, and this machine has {found}")
