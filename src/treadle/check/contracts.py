"""Rules of a contract against the type of their column: a rule that every row, or no row, would break is refused."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.data.bounds import DATED, ORDERED, read_bound, read_texts, read_value
from treadle.experiment.spec import Column, ColumnSplit, Experiment
from treadle.hints import nearest, show
from treadle.problems import Problem


def check_contracts(experiment: Experiment) -> Iterator[Problem]:
    """Bounds, allowed values and ages that fit the column's type and do not contradict each other."""
    for name, table in experiment.data.tables.items():
        for column, spec in table.columns.items():
            yield from _check_column(f"data.tables.{name}.columns.{column}", spec)
        for index, column in enumerate(table.key):
            if column in table.key[:index]:
                yield Problem(f"data.tables.{name}.key.{index}", f"{column!r} is listed twice", "remove one of them")


def check_split_values(experiment: Experiment) -> Iterator[Problem]:
    """Values of a split's column that its rows can hold."""
    data, split = experiment.data, experiment.data.split
    table = data.tables.get(data.examples.table)
    column = table.columns.get(split.column) if table is not None and isinstance(split, ColumnSplit) else None
    if column is None or not isinstance(split, ColumnSplit):
        return
    for part, values in (("train", split.train), ("valid", split.valid), ("test", split.test)):
        for index, value in enumerate(values):
            yield from _check_split_value(f"data.split.{part}.{index}", value, split.column, column)


def _check_column(key: str, column: Column) -> Iterator[Problem]:
    faults = [*_check_bounds(key, column), *_check_allowed(key, column)]
    yield from faults or _check_contradictions(key, column)
    if column.max_age is not None and column.dtype not in DATED:
        rule = f"applies to dates and datetimes; the column is {column.dtype}"
        yield Problem(f"{key}.max_age", rule, "remove it")


def _check_bounds(key: str, column: Column) -> Iterator[Problem]:
    for name, bound in (("min", column.min), ("max", column.max)):
        if bound is None:
            continue
        if column.dtype not in ORDERED:
            rule = f"applies to numbers, dates and datetimes; the column is {column.dtype}"
            yield Problem(f"{key}.{name}", rule, "remove it, or list the valid values as `allowed`")
            continue
        try:
            read_bound(bound, column)
        except ValueError as error:
            yield _refuse(f"{key}.{name}", column, bound, error)


def _check_allowed(key: str, column: Column) -> Iterator[Problem]:
    if column.allowed == []:
        yield Problem(f"{key}.allowed", "is empty, so that no row could be valid", "list values, or remove it")
    for index, value in enumerate(column.allowed or []):
        try:
            read_value(value, column)
        except ValueError as error:
            yield _refuse(f"{key}.allowed.{index}", column, value, error)


def _refuse(key: str, column: Column, value: object, error: ValueError) -> Problem:
    return Problem(key, f"{error}; the column is {column.dtype}, found {show(value)}")


def _check_contradictions(key: str, column: Column) -> Iterator[Problem]:
    """Bounds and allowed values, each of the column's type, that contradict each other."""
    low, high = (None if bound is None else read_bound(bound, column) for bound in (column.min, column.max))
    if low is not None and high is not None and low > high:
        yield Problem(f"{key}.min", f"must not be above `max`: {show(column.min)} is above {show(column.max)}")
        return
    for index, value in enumerate(column.allowed or []):
        read = read_value(value, column)
        name = "min" if low is not None and read < low else "max" if high is not None and read > high else ""
        if name:
            yield Problem(f"{key}.allowed.{index}", f"{show(value)} is outside the column's own `{name}`")


def _check_split_value(key: str, value: str, name: str, column: Column) -> Iterator[Problem]:
    try:
        (read,) = read_texts([value], dtype=column.dtype)
    except ValueError as error:
        yield Problem(key, f"{error}, and {name!r} is {column.dtype}")
        return
    allowed = None if column.allowed is None else [read_value(value, column) for value in column.allowed]
    if allowed is not None and read not in allowed:
        rule = f"{show(value)} is not an allowed value of {name!r}"
        yield Problem(key, rule, hint=nearest(value, map(str, allowed)))
