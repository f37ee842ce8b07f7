"""The data contract against what the heads of the files say: Parquet's own schema, the first rows of a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from pathlib import Path

import polars as pl

from treadle.experiment.columns import Finding
from treadle.experiment.files import list_files
from treadle.experiment.problems import nearest
from treadle.experiment.spec import Column, Experiment, Table

ROWS = 100  # of a CSV


def check_files(experiment: Experiment, *, root: Path) -> list[Finding]:
    """Columns that a file lacks, or holds in a type that its contract excludes. A file that is absent says nothing."""
    found = []
    for name, table in experiment.data.tables.items():
        files = list_files(table.path, root=root)
        for file in files[:1]:
            found += list(_check_file(name, table, file))
    return found


def _check_file(name: str, table: Table, file: Path) -> Iterator[Finding]:
    key = f"data.tables.{name}"
    try:
        if file.suffix.lower() == ".parquet":
            schema = pl.read_parquet_schema(file)
            yield from _check_present(key, table, list(schema), file)
            yield from _check_types(key, table, schema, file)
        elif file.suffix.lower() in {".csv", ".tsv"}:
            yield from _check_text(key, table, file)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError, csv.Error) as error:
        yield Finding(f"{key}.path", f"{table.path} cannot be read: {str(error).splitlines()[0]}")


def _check_present(key: str, table: Table, present: list[str], file: Path) -> Iterator[Finding]:
    for column in table.columns:
        if column not in present:
            yield Finding(
                f"{key}.columns.{column}", f"{file.name} has no column {column!r}", hint=nearest(column, present)
            )


def _check_types(key: str, table: Table, schema: Mapping[str, pl.DataType], file: Path) -> Iterator[Finding]:
    for column, spec in table.columns.items():
        dtype = schema.get(column)
        if dtype is not None and not _can_hold(dtype, spec):
            rule = f"{file.name} holds {column!r} as {dtype}, which is no {spec.dtype}"
            yield Finding(
                f"{key}.columns.{column}.dtype", rule, "declare the type that the file has, and derive another"
            )


def _can_hold(dtype: pl.DataType, spec: Column) -> bool:
    """Whether values of a file's type can be read as the declared one without a change of meaning."""
    is_text = isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)
    is_number = dtype.is_numeric()
    match spec.dtype:
        case "int" | "float":
            return is_text or is_number
        case "bool":
            return is_text or is_number or dtype == pl.Boolean()
        case "str":
            return is_text or is_number or dtype == pl.Boolean()
        case "date":
            return is_text or isinstance(dtype, pl.Date | pl.Datetime)
        case "datetime":
            return is_text or isinstance(dtype, pl.Date | pl.Datetime)


# --- text ---------------------------------------------------------------------------------------------


def _check_text(key: str, table: Table, file: Path) -> Iterator[Finding]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
        header = next(reader, [])
        rows = list(islice(reader, ROWS))
    yield from _check_present(key, table, header, file)
    for column, spec in table.columns.items():
        if column in header:
            yield from _check_values(
                f"{key}.columns.{column}", spec, [row[header.index(column) : header.index(column) + 1] for row in rows]
            )


def _check_values(key: str, spec: Column, cells: list[list[str]]) -> Iterator[Finding]:
    for number, cell in enumerate(cells, start=1):
        if cell and cell[0] not in {"", *spec.missing} and not _reads_as(cell[0], spec):
            rule = f"row {number:,} holds {cell[0]!r}, which is no {spec.dtype}"
            yield Finding(key, rule, "declare the type that the file has, or the text among `missing`")
            return


def _reads_as(text: str, spec: Column) -> bool:
    readers: dict[str, Callable[[str], object]] = {
        "int": int,
        "float": float,
        "date": date.fromisoformat,
        "datetime": datetime.fromisoformat,
    }
    if spec.dtype not in readers:
        return True
    try:
        readers[spec.dtype](text)
    except ValueError:
        return False
    return True
