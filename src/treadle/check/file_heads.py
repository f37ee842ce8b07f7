"""The data contract against the heads of the files: their columns and types, the first rows of a text file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from treadle.data.casting import DECODED, cast_cells, column_of, lost_mark
from treadle.data.datetime_formats import UNIT_NAMES, guess_unit
from treadle.data.formats import find_format
from treadle.errors import TreadleError
from treadle.experiment.files import list_sources
from treadle.experiment.spec import Column, Experiment, Table
from treadle.hints import nearest
from treadle.problems import Problem

ROWS = 100  # of a text file
Absent = Literal["refuse", "pass"]  # a table without files is a problem, or is ignored


def check_files(experiment: Experiment, *, root: Path, absent: Absent) -> list[Problem]:
    """Tables without files; columns that are missing in a file, or of a type that the contract excludes."""
    found = []
    for name, table in experiment.data.tables.items():
        try:
            files = list_sources(table.path, root=root)
        except TreadleError as error:
            found.append(Problem(f"data.tables.{name}.path", str(error)))
            continue
        if not files and absent == "refuse":
            found.append(_refuse_absent(f"data.tables.{name}.path", table.path, root))
        for file in files[:1]:
            found += list(_check_file(name, table, file))
    return found


def _refuse_absent(key: str, path: str, root: Path) -> Problem:
    if "://" in path:
        return Problem(
            key, f"no file at {path!r}", "correct the address; `*` stands for a part of a name, but for HTTP"
        )
    if path.strip() and (root / path).is_dir():
        return Problem(key, f"{path!r} is a folder", f"name its files, such as '{path.rstrip('/')}/*.parquet'")
    return Problem(key, f"no file at {path!r}", "`dvc pull` fetches versioned data; else correct the path")


def _check_file(name: str, table: Table, file: Path) -> Iterator[Problem]:
    key = f"data.tables.{name}"
    try:
        known = find_format(file, table)
    except TreadleError as error:
        yield Problem(f"{key}.path", str(error))
        return
    try:
        head = known.scan_head(file, table, num_rows=ROWS)
        schema = head.collect_schema()
    except (pl.exceptions.PolarsError, OSError, TreadleError) as error:
        yield Problem(f"{key}.path", f"{table.path} cannot be read: {str(error).splitlines()[0]}")
        return
    other = _find_other_separator(schema, table) if known.is_text else ""
    if other:
        rule = f"the header of {file.name} is one column, {schema.names()[0]!r}"
        yield Problem(f"{key}.separator", rule, f"declare `separator: {other!r}`")
        return
    if known.shows_columns(file):
        yield from _check_present(key, table, schema, file)
    yield from _check_values(key, table, head.collect()) if known.is_text else _check_types(key, table, head, file)


def _find_other_separator(schema: pl.Schema, table: Table) -> str:
    """The likely separator of a file in which the declared one does not occur."""
    if len(schema) != 1 or len(table.columns) == 1:
        return ""
    return next((mark for mark in (",", ";", "\t", "|") if mark in schema.names()[0]), "")


def _check_present(key: str, table: Table, present: Mapping[str, pl.DataType], file: Path) -> Iterator[Problem]:
    for name, column in table.columns.items():
        wanted = column.name_in_file(name)
        if wanted not in present:
            place = f"{key}.columns.{name}" + ("" if column.source is None else ".source")
            yield Problem(place, f"{file.name} has no column {wanted!r}", hint=nearest(wanted, present))


def _check_types(key: str, table: Table, head: pl.LazyFrame, file: Path) -> Iterator[Problem]:
    schema = head.collect_schema()
    for name, column in table.columns.items():
        own = column.name_in_file(name)
        if own in schema and not _can_hold(schema[own], column):
            rule = f"{file.name} holds {own!r} as {schema[own]}, which is not of type {column.dtype}"
            fix = "declare the type of the file, and derive the other one"
            if column.dtype == "datetime" and schema[own].is_integer():
                fix = _suggest_epoch(head.select(column_of(own).drop_nulls().head(1)).collect().to_series())
            yield Problem(f"{key}.columns.{name}.dtype", rule, fix)


def _suggest_epoch(numbers: pl.Series) -> str:
    """Of whole numbers that are to be moments."""
    unit = None if numbers.is_empty() else guess_unit(numbers[0])
    if unit is None:
        return "declare `epoch: s`, or ms, us, ns, if they count from 1970, or `format` if their digits are a date"
    return f"declare `epoch: {unit}`: {numbers[0]} are {UNIT_NAMES[unit]} since 1970"


def _check_values(key: str, table: Table, head: pl.DataFrame) -> Iterator[Problem]:
    """The first value of each column that the stage `prepare` would refuse, by the same reader; no image is decoded."""
    schema = head.schema
    declared = {name: column for name, column in table.columns.items() if column.dtype not in DECODED}
    present = {name: column for name, column in declared.items() if column.name_in_file(name) in schema}
    cells = cast_cells(head.lazy(), present, schema=schema).collect()
    lost = {values.name: values for values in cells.get_columns() if values.dtype == pl.Boolean() and values.any()}
    for name, column in present.items():
        if lost_mark(name) in lost:
            row = lost[lost_mark(name)].arg_true()[0]
            found = head[column.name_in_file(name)][row]
            rule = f"row {row + 1:,} holds {found!r}, which is not of type {column.dtype}"
            is_whole = column.dtype == "datetime" and str(found).isdecimal()
            fix = _suggest_epoch(pl.Series([int(found)])) if is_whole else _suggest(column)
            yield Problem(f"{key}.columns.{name}", rule, fix)


def _suggest(column: Column) -> str:
    options = {"int": ", set `thousands`", "float": ", set `decimal` and `thousands`"}
    options |= dict.fromkeys(("date", "datetime", "time"), ", set `format`")
    return f"declare the type of the file{options.get(column.dtype, '')}, or add the text to `missing`"


def _can_hold(dtype: pl.DataType, spec: Column) -> bool:
    """Whether values of a file's type can be read as the declared one without a change of meaning."""
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null):
        return True
    is_number = dtype.is_numeric()
    match spec.dtype:
        case "int" | "float" | "str" | "text":
            return is_number
        case "image":
            return dtype == pl.Binary()
        case "bool":
            return is_number or dtype == pl.Boolean()
        case "time":
            return dtype == pl.Time() or (is_number and spec.format is not None)
        case "date" | "datetime":
            by_digits = spec.format is not None or spec.epoch is not None
            return isinstance(dtype, pl.Date | pl.Datetime) or (is_number and by_digits)
