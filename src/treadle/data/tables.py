"""Tables: files read as the contract says, joined by key, with derived columns and their known time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from treadle.data.contract import NUM_EXAMPLES, Breach, ContractError, check_contract
from treadle.data.sql import collect, derive, parse
from treadle.experiment.files import list_files
from treadle.experiment.problems import nearest
from treadle.experiment.spec import Column, Data, Join, Table
from treadle.schema import TreadleError

KNOWN_AT = "known_at"  # column of a table with a known time; null: the row never becomes known

_DTYPES: dict[str, pl.DataType] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "str": pl.String(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def load_tables(data: Data, *, root: Path, now: datetime) -> dict[str, pl.LazyFrame]:
    """Every table of `data`: contract held, joins and derived columns added.

    Raises:
        ContractError: the rows of a table break its contract.
        TreadleError: a file is missing or unreadable, or an expression does not fit.
    """
    read = {name: read_table(spec, name=name, root=root, now=now).lazy() for name, spec in data.tables.items()}
    enriched = {}
    for name, spec in data.tables.items():
        (frame,) = collect(_enrich(read[name], spec, tables=read, name=name), key=f"data.tables.{name}")
        enriched[name] = frame.lazy()
    return enriched


def read_table(spec: Table, *, name: str, root: Path, now: datetime) -> pl.DataFrame:
    """The declared columns of one table, in their declared types, contract held."""
    key = f"data.tables.{name}"
    files = list_files(spec.path, root=root)
    if not files:
        raise TreadleError(f"{key}.path: no file at {spec.path!r}; `dvc pull` fetches versioned data")
    try:
        scanned = _scan(files)
        present = scanned.collect_schema().names()
        for column in spec.columns:
            if column not in present:
                hint = nearest(column, present)
                raise TreadleError(f"{key}.columns.{column}: {spec.path} has no such column. {hint}")
        raw = scanned.select(list(spec.columns)).collect()
    except PolarsError as error:
        raise TreadleError(f"{key}.path: cannot read {spec.path}: {error}") from error
    frame = raw.select(_cast(raw.schema[column], column, spec.columns[column]) for column in spec.columns)
    _refuse_lost_values(raw, frame, spec, name=name)
    check_contract(frame, spec, table=name, now=now)
    return frame


def _scan(files: list[Path]) -> pl.LazyFrame:
    kinds = {file.suffix.lower() for file in files}
    if kinds == {".parquet"}:
        return pl.scan_parquet(files)
    if kinds <= {".csv", ".tsv"} and len(kinds) == 1:
        return pl.scan_csv(files, separator="\t" if kinds == {".tsv"} else ",", infer_schema=False)
    raise TreadleError(f"{files[0]}: a table is read from Parquet, CSV or TSV files of one kind, found {sorted(kinds)}")


def _cast(dtype: pl.DataType, name: str, column: Column) -> pl.Expr:
    value = pl.col(name)
    if dtype == pl.String() and column.missing:
        value = pl.when(value.is_in(column.missing)).then(None).otherwise(value)
    if dtype.is_float():
        value = value.fill_nan(None)
    if dtype == pl.String() and column.dtype == "datetime":
        return _parse_moment(value).alias(name)
    if dtype == pl.String() and column.dtype == "date":
        return value.str.to_date(strict=False).alias(name)
    if dtype == pl.String() and column.dtype == "bool":
        return value.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean).alias(name)
    return value.cast(_DTYPES[column.dtype], strict=False).alias(name)


def _parse_moment(text: pl.Expr) -> pl.Expr:
    """ISO 8601 to UTC; a text without an offset is taken as UTC."""
    with_offset = text.str.contains(r"(Z|[+-]\d\d:?\d\d)$")
    moment = pl.when(with_offset).then(text).otherwise(text + "Z")
    return moment.str.to_datetime(time_unit="us", time_zone="UTC", strict=False).dt.replace_time_zone(None)


def _refuse_lost_values(raw: pl.DataFrame, frame: pl.DataFrame, spec: Table, *, name: str) -> None:
    """A value that its declared type cannot hold became null: that is a breach, not a missing value."""
    breaches = []
    for column, rule in spec.columns.items():
        if frame[column].null_count() == raw[column].null_count():
            continue
        absent = raw[column].is_null()
        if raw[column].dtype.is_float():
            absent |= raw[column].is_nan()
        elif raw[column].dtype == pl.String():
            absent |= raw[column].is_in(rule.missing)
        lost = (frame[column].is_null() & ~absent).arg_true()
        if len(lost):
            examples = [f"row {row + 1:,}: {raw[column][row]!r}" for row in lost.head(NUM_EXAMPLES).to_list()]
            breaches.append(Breach(column, f"must be of type {rule.dtype}", len(lost), examples))
    if breaches:
        raise ContractError(name, breaches)


def _enrich(frame: pl.LazyFrame, spec: Table, *, tables: dict[str, pl.LazyFrame], name: str) -> pl.LazyFrame:
    key = f"data.tables.{name}"
    for join_name, join in spec.joins.items():
        frame = _join(frame, join, tables[join.table], key=f"{key}.joins.{join_name}")
    frame = derive(frame, spec.derive, key=f"{key}.derive")
    if spec.known_at is not None:
        frame = frame.with_columns(parse(spec.known_at, key=f"{key}.known_at").cast(pl.Datetime("us")).alias(KNOWN_AT))
    return frame


def _join(frame: pl.LazyFrame, join: Join, other: pl.LazyFrame, *, key: str) -> pl.LazyFrame:
    there = list(join.by.values())
    columns = [parse(text, key=f"{key}.columns.{name}").alias(name) for name, text in join.columns.items()]
    repeated = other.group_by(there).len().filter(pl.col("len") > 1).head(NUM_EXAMPLES).collect()
    if len(repeated):
        examples = ", ".join(str(row[:-1]) for row in repeated.rows())
        raise TreadleError(f"{key}.by: {there} must name one row of {join.table!r}; several have {examples}")
    keys = [pl.col(column).alias(f"__{column}") for column in there]
    lookup = other.select(*keys, *columns)
    right_on = [f"__{column}" for column in there]
    return frame.join(lookup, left_on=list(join.by), right_on=right_on, how="left", maintain_order="left")
