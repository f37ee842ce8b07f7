"""The contract of a table: what each column promises, checked as the rows enter; pointblank finds what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.exceptions import PolarsError

from treadle.data.sql import COLUMNS, collect_columns
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Column, Table
from treadle.schema import TreadleError

if TYPE_CHECKING:
    import pointblank as pb

NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Breach:
    """One rule that some rows of one column break."""

    column: str
    rule: str
    count: int
    examples: list[str]

    def __str__(self) -> str:
        return f"{self.column}: {self.rule}; {self.count:,} rows do not, such as {', '.join(self.examples)}"


class ContractError(TreadleError):
    """Every breach of one table's contract."""

    def __init__(self, table: str, breaches: list[Breach]) -> None:
        self.table = table
        self.breaches = breaches
        lines = "\n".join(f"  data.tables.{table}.columns.{breach}" for breach in breaches)
        super().__init__(
            f"the table {table!r} breaks its contract\n{lines}\n"
            "Mend the file, or widen the contract in conf/data if these values are sound."
        )


def check_contract(
    rows: pl.LazyFrame, spec: Table, *, table: str, now: datetime, name_row: Callable[[int], str]
) -> None:
    """Hold every declared rule against the rows, some columns at a time.

    Args:
        rows: of the table, its columns in their declared types.
        spec: what is declared.
        table: its name.
        now: judges freshness.
        name_row: names a row, counted from 1.

    Raises:
        ContractError: with table, column, rule, number of rows and up to three examples for each breach.
    """
    if _holds(rows, spec, now=now):
        return
    breaches: list[Breach] = []
    for frame in collect_columns(rows, list(spec.columns)):
        rules = [(name, *rule) for name in frame.columns for rule in _list_rules(name, spec.columns[name])]
        breaches += _interrogate(frame, rules, name_row)
        breaches += _check_freshness(frame, spec, now=now)
    if spec.key:
        rule = "must together be unique (they are the table's key)"
        arguments = {"columns_subset": spec.key}
        breaches += _interrogate(
            rows.select(spec.key).collect(), [(", ".join(spec.key), "rows_distinct", arguments, rule)], name_row
        )
    if breaches:
        raise ContractError(table, breaches)


def _holds(rows: pl.LazyFrame, spec: Table, *, now: datetime) -> bool:
    """Whether every rule holds, in one quick look; where it says no, the rules are to be looked at one by one."""
    doubts = [doubt for name, column in spec.columns.items() for doubt in _list_doubts(name, column, now)]
    if spec.key:
        doubts.append(pl.struct(spec.key).n_unique() != pl.len())
    with suppress(PolarsError):  # a bound of another type, which pointblank may know
        for start in range(0, len(doubts), COLUMNS):
            some = [doubt.alias(str(index)) for index, doubt in enumerate(doubts[start : start + COLUMNS])]
            if any(rows.select(some).collect(engine="streaming").row(0)):
                return False
        return True
    return False


def _list_doubts(name: str, column: Column, now: datetime) -> list[pl.Expr]:
    """Expressions that are true where a rule of `_list_rules`, or freshness, may not hold."""
    value = pl.col(name)
    doubts = [] if column.nullable else [value.is_null().any()]
    if column.unique:
        doubts.append(value.n_unique() != pl.len())
    if column.min is not None:
        doubts.append((value < _bound(column, column.min)).any())
    if column.max is not None:
        doubts.append((value > _bound(column, column.max)).any())
    if column.allowed is not None:
        doubts.append(value.is_in(column.allowed).not_().any())
    if column.max_age is not None:
        doubts.append(value.max() < now - parse_duration(column.max_age))
    return doubts


def _interrogate(
    frame: pl.DataFrame, rules: list[tuple[str, str, dict[str, Any], str]], name_row: Callable[[int], str]
) -> list[Breach]:
    """Rules are: column, pointblank's method, its arguments, and the rule in words."""
    if not rules:
        return []
    import pointblank as pb  # 40 MB and a third of a second, which a sound table does not need

    validation = pb.Validate(frame)
    for _, method, arguments, _ in rules:
        validation = getattr(validation, method)(**arguments)
    failures = validation.interrogate(get_first_n=NUM_EXAMPLES).n_failed()
    return [
        Breach(name, rule, failures[step], _show_examples(validation, step, arguments, name_row))
        for step, (name, _, arguments, rule) in enumerate(rules, start=1)
        if failures[step]
    ]


def _list_rules(name: str, column: Column) -> list[tuple[str, dict[str, Any], str]]:
    """Pointblank's method, its arguments, and the rule in words."""
    rules: list[tuple[str, dict[str, Any], str]] = []
    if not column.nullable:
        rules.append(("col_vals_not_null", {"columns": name}, "must not be missing"))
    if column.unique:
        rules.append(("rows_distinct", {"columns_subset": [name]}, "must be unique"))
    if column.min is not None:
        arguments = {"columns": name, "value": _bound(column, column.min), "na_pass": True}
        rules.append(("col_vals_ge", arguments, f"must be at least {column.min}"))
    if column.max is not None:
        arguments = {"columns": name, "value": _bound(column, column.max), "na_pass": True}
        rules.append(("col_vals_le", arguments, f"must be at most {column.max}"))
    if column.allowed is not None:
        allowed = [*column.allowed, *([None] if column.nullable else [])]
        rules.append(("col_vals_in_set", {"columns": name, "set": allowed}, f"must be one of {column.allowed}"))
    return rules


def _bound(column: Column, bound: float | str) -> Any:
    return datetime.fromisoformat(bound) if column.dtype in {"date", "datetime"} else bound  # type: ignore[arg-type]


def _show_examples(
    validation: pb.Validate, step: int, arguments: dict[str, Any], name_row: Callable[[int], str]
) -> list[str]:
    rows = validation.get_data_extracts(i=step, frame=True).head(NUM_EXAMPLES).to_dicts()
    names = arguments.get("columns_subset") or [arguments["columns"]]
    return [f"{name_row(row['_row_num_'])}: " + ", ".join(repr(row[name]) for name in names) for row in rows]


def _check_freshness(frame: pl.DataFrame, spec: Table, *, now: datetime) -> list[Breach]:
    breaches = []
    for name in frame.columns:
        column, newest = spec.columns[name], frame[name].max()
        if column.max_age is None or not isinstance(newest, datetime):
            continue
        if now - newest > parse_duration(column.max_age):
            rule = f"the newest value may be {column.max_age} old at {now:%Y-%m-%d %H:%M}"
            breaches.append(Breach(name, rule, len(frame), [str(newest)]))
    return breaches
