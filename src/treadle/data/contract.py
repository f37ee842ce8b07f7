"""The contract of a table: the rules of each column, as expressions that find the rows that break them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import polars as pl

from treadle.data.bounds import DATED, read_bound, read_value
from treadle.data.casting import DTYPES
from treadle.data.lazy_frames import COLUMNS
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Column, Table, Value
from treadle.hints import SHOWN
from treadle.images import RULE, Size, describe, measure

NUM_EXAMPLES = 3
_TYPE_RULES = {"image": RULE}  # what a type asks for, where its name does not say it
_ROW = "__row"


@dataclass(frozen=True)
class Rule:
    """One promise about some columns."""

    columns: tuple[str, ...]
    words: str  # what must hold
    holds: pl.Expr  # whether it does, over all rows: one value, which is cheap to find
    breaks: pl.Expr  # true in each row that breaks it, else false or null


@dataclass(frozen=True)
class Breach:
    """One rule that some rows of one column break."""

    column: str
    rule: str
    count: int
    examples: list[str]

    def __str__(self) -> str:
        rows = "1 row does not" if self.count == 1 else f"{self.count:,} rows do not"
        such = f", such as {', '.join(self.examples)}" if self.examples else ""
        return f"{self.column}: {self.rule}; {rows}{such}"


def describe_type(dtype: str) -> str:
    """What a value of a type must be, in words."""
    return _TYPE_RULES.get(dtype, f"must be of type {dtype}")


class ContractError(TreadleError):
    """Every breach of one table's contract."""

    def __init__(self, table: str, breaches: list[Breach]) -> None:
        self.table = table
        self.breaches = breaches
        lines = "\n".join(f"  data.tables.{table}.columns.{breach}" for breach in breaches)
        super().__init__(
            f"the table {table!r} breaks its contract\n{lines}\n"
            "Fix the file, or widen the contract in conf/data if these values are valid."
        )


def check_contract(
    rows: pl.LazyFrame, spec: Table, *, table: str, now: datetime, name_row: Callable[[int], str]
) -> None:
    """Check every declared rule, some rules at a time.

    Args:
        rows: of the table, its columns in their declared types.
        spec: what is declared.
        table: its name.
        now: the current time, for the age of values.
        name_row: names a row, counted from 1.

    Raises:
        ContractError: with table, column, rule, number of rows and up to three examples for each breach.
    """
    broken = _find_broken(rows, list(_list_table_rules(spec, now=now)))
    breaches = [_describe(rows, rule, name_row) for rule in broken]
    if breaches:
        raise ContractError(table, breaches)


def list_row_rules(columns: Mapping[str, Column]) -> Iterator[Rule]:
    """The rules that each row must meet by itself.

    Raises:
        TreadleError: a bound or an allowed value is of another type than its column.
    """
    for name, column in columns.items():
        value = pl.col(name)
        if not column.nullable:
            yield _each_row(name, "must not be missing", value.is_null())
        if column.min is not None:
            yield _each_row(name, f"must be at least {column.min}", value < _read(read_bound, column.min, name, column))
        if column.max is not None:
            yield _each_row(name, f"must be at most {column.max}", value > _read(read_bound, column.max, name, column))
        if column.allowed is not None:
            allowed = [_read(read_value, word, name, column) for word in column.allowed]
            known = pl.Series(allowed, dtype=DTYPES[column.dtype]).implode()
            yield _each_row(name, f"must be one of {_list(column.allowed)}", value.is_in(known).not_())
        wanted = {part: getattr(column, part) for part in Size._fields if getattr(column, part) is not None}
        for part, number in wanted.items():
            found = value.map_elements(partial(_measure, part=part), return_dtype=pl.Int64)
            yield _each_row(name, f"must be an image of {part} {number}", found != number)


def _measure(content: bytes, *, part: str) -> int:
    return int(getattr(measure(content), part))


def _each_row(name: str, words: str, breaks: pl.Expr) -> Rule:
    return Rule((name,), words, breaks.any().not_(), breaks)


def _read(read: Callable[[Value, Column], Any], value: Value, name: str, column: Column) -> Any:
    try:
        return read(value, column)
    except ValueError as error:
        raise TreadleError(
            f"the contract of {name!r} asks for {value!r}: {error}, as its type is {column.dtype}"
        ) from None


def _list(values: Sequence[Value]) -> str:
    return ", ".join(map(repr, values[:SHOWN])) + (", …" if len(values) > SHOWN else "")


def _list_table_rules(spec: Table, *, now: datetime) -> Iterator[Rule]:
    """Every rule, in the order of the columns; then that of the key."""
    for name, column in spec.columns.items():
        value = pl.col(name)
        yield from list_row_rules({name: column})
        if column.unique:  # a value that is missing is none
            given = value.drop_nulls()
            repeated = value.is_duplicated() & value.is_not_null()
            yield Rule((name,), "must be unique", given.n_unique() == given.len(), repeated)
        if column.max_age is not None:
            yield _stay_fresh(name, column.max_age, column, now=now)
    if spec.key:
        rows = pl.struct(spec.key)
        words = "must together be unique (they are the table's key)"
        yield Rule(tuple(spec.key), words, rows.n_unique() == pl.len(), rows.is_duplicated())


def _stay_fresh(name: str, max_age: str, column: Column, *, now: datetime) -> Rule:
    """The age of a date is counted in days; without any value the rule is broken."""
    assert column.dtype in DATED, "check() refuses others"
    newest = pl.col(name).max()
    oldest = (now if column.dtype == "datetime" else now.date()) - parse_duration(max_age)
    words = f"the newest value must be at most {max_age} old at {now:%Y-%m-%d %H:%M}"
    return Rule((name,), words, (newest >= oldest).fill_null(value=False), pl.col(name).eq_missing(newest))


def _find_broken(rows: pl.LazyFrame, rules: Sequence[Rule]) -> Iterator[Rule]:
    """The rules that do not hold, in one quick look at some of them at a time."""
    for start in range(0, len(rules), COLUMNS):
        some = rules[start : start + COLUMNS]
        held = rows.select(rule.holds.alias(str(index)) for index, rule in enumerate(some))
        for rule, holds in zip(some, held.collect(engine="streaming").row(0), strict=True):
            if not holds:
                yield rule


def _describe(rows: pl.LazyFrame, rule: Rule, name_row: Callable[[int], str]) -> Breach:
    """How many rows break a rule, and the first of them."""
    broken = rows.select(rule.columns).with_row_index(_ROW, offset=1).filter(rule.breaks)
    count, first = pl.collect_all([broken.select(pl.len()), broken.head(NUM_EXAMPLES)])
    examples = [f"{name_row(row)}: {', '.join(map(show_value, values))}" for row, *values in first.iter_rows()]
    return Breach(", ".join(rule.columns), rule.words, count.item(), examples)


def show_value(value: Any) -> str:
    """A value in messages: an image by its size, or why it is none."""
    if isinstance(value, bytes):
        return describe(value)
    return str(value) if isinstance(value, date) else repr(value)  # a moment is a date, too
