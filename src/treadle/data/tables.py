"""Tables: files read by their contract, joined by key, with derived columns and the time when a row is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from treadle.data.contract import NUM_EXAMPLES, ContractError, check_contract
from treadle.data.formats import READ_ERRORS
from treadle.data.lazy_frames import (
    MEMORY_CELLS,
    collect,
    count_rows,
    derive,
    materialize,
    materialize_derived,
    narrow_integers,
    parse,
)
from treadle.data.table_files import (
    BLANK,
    LOST,
    SHORT,
    RowNames,
    TableFile,
    explain_unreadable,
    merge_losses,
    open_table_files,
    refuse_ragged,
)
from treadle.errors import TreadleError
from treadle.experiment.spec import Data, Join, Table
from treadle.schema import KNOWN_AT
from treadle.threads import map_ahead

READ_AT_ONCE = 2  # tables: more would hold more in memory


@dataclass(frozen=True)
class Lookup:
    """What a join found: rows of another table, and which of them belongs to each row of this one."""

    values: pl.DataFrame
    places: pl.Series  # of a row in `values`, for each row of the table; null: there is none

    @property
    def columns(self) -> list[pl.Expr]:
        """The columns of `values` for all rows of the table; a plan makes those alone that it needs."""
        return self._gather(self.values.columns, self.places)

    def take(self, columns: Sequence[str], rows: pl.Series) -> pl.DataFrame:
        """Some of the columns, for some rows of the table."""
        return pl.select(self._gather(columns, self.places[rows]))

    def _gather(self, columns: Sequence[str], places: pl.Series) -> list[pl.Expr]:
        return [pl.lit(self.values[name]).gather(places).alias(name) for name in columns]


@dataclass(frozen=True)
class Loaded:
    """A table with the columns of its joins, those included that lie in lookups."""

    rows: pl.LazyFrame
    lookups: list[Lookup] = field(default_factory=list)


def load_tables(
    data: Data,
    *,
    root: Path,
    now: datetime,
    scratch: Path,
    extend: Callable[[pl.LazyFrame], pl.LazyFrame] = lambda rows: rows,
) -> dict[str, Loaded]:
    """Every table of `data`: contract held, joins and derived columns added.

    Args:
        data: what is declared.
        root: the project; paths of tables are relative to it.
        now: the current time, for the age of values.
        scratch: a folder for typed copies of the tables, which the frames read as long as they are used.
        extend: adds rows to the examples' table, which need not hold its contract.

    Raises:
        ContractError: the rows of a table break its contract.
        TreadleError: a file is missing or unreadable, or an expression does not fit.
    """

    def read(name: str) -> pl.LazyFrame:
        return read_table(data.tables[name], name=name, root=root, now=now, scratch=scratch)

    frames = dict(zip(data.tables, map_ahead(read, data.tables, num_threads=READ_AT_ONCE), strict=True))
    own = data.examples.table
    frames[own] = extend(frames[own])
    tables = data.tables.items()
    return {name: enrich(frames[name], spec, tables=frames, name=name, scratch=scratch) for name, spec in tables}


def read_table(spec: Table, *, name: str, root: Path, now: datetime, scratch: Path) -> pl.LazyFrame:
    """The declared columns of one table, in their declared types, contract held. Arguments as in `load_tables`."""
    key = f"data.tables.{name}"
    files = open_table_files(spec, key=key, root=root, scratch=scratch)
    marked = _read(files, spec, key=key, copy=scratch / f"{name}.parquet")
    lost, short = marked.select(pl.col(LOST, SHORT).any()).collect().row(0)
    if short:
        refuse_ragged(files, spec, key=key)
    if lost:
        raise ContractError(name, merge_losses(files, spec))
    frame = marked.select(list(spec.columns))
    check_contract(frame, spec, table=name, now=now, name_row=RowNames(files))
    return frame


def _read(files: list[TableFile], spec: Table, *, key: str, copy: Path) -> pl.LazyFrame:
    """The rows of all files with their marks, by way of Polars' own parser of numbers where it knows all of them."""
    num_cells = sum(file.estimate_cells(spec) for file in files)
    with suppress(*READ_ERRORS):  # what is wrong is found on the other way, if anything is
        marked = materialize(pl.concat([file.cast_directly(spec) for file in files]), copy, num_cells=num_cells)
        if not marked.select(pl.col(BLANK).any()).collect().item():
            return marked
    try:
        return materialize(pl.concat([file.cast(spec) for file in files]), copy, num_cells=num_cells)
    except READ_ERRORS as error:
        raise explain_unreadable(error, files, spec, key=key) from error


def enrich(frame: pl.LazyFrame, spec: Table, *, tables: dict[str, pl.LazyFrame], name: str, scratch: Path) -> Loaded:
    """The table with its joined and derived columns, in a copy of its own where some are derived."""
    key = f"data.tables.{name}"
    if not (spec.joins or spec.derive or spec.known_at):
        return Loaded(frame)
    lookups = []
    num_rows = count_rows(frame)
    to_copy = bool(spec.derive or spec.known_at)
    for join_name, join in spec.joins.items():
        lookup = open_lookup(join, tables[join.table], key=f"{key}.joins.{join_name}")
        width = len(join.by) + len(join.columns)
        if max(num_rows, count_rows(lookup)) * width <= MEMORY_CELLS:
            lookups.append(_look_up(frame, lookup, join, key=f"{key}.joins.{join_name}"))
            frame = frame.with_columns(lookups[-1].columns)
        else:
            frame, to_copy = _join(frame, lookup, join), True
    if not to_copy:
        return Loaded(frame, lookups)
    frame = derive(frame, spec.derive, key=f"{key}.derive")
    if spec.known_at is not None:
        frame = frame.with_columns(
            parse(spec.known_at, frame, key=f"{key}.known_at").cast(pl.Datetime("us")).alias(KNOWN_AT)
        )
    return Loaded(materialize_derived(frame, scratch / f"{name} enriched.parquet", num_rows=num_rows, key=key))


def open_lookup(join: Join, other: pl.LazyFrame, *, key: str) -> pl.LazyFrame:
    """The other table's keys, under names that no column has, and the columns that are looked up."""
    there = list(join.by.values())
    columns = [parse(text, other, key=f"{key}.columns.{name}").alias(name) for name, text in join.columns.items()]
    repeated = (
        other.group_by(there).agg(pl.len().alias("|rows")).filter(pl.col("|rows") > 1).head(NUM_EXAMPLES).collect()
    )
    if len(repeated):
        examples = ", ".join(str(row[:-1]) for row in repeated.rows())
        raise TreadleError(f"{key}.by: {there} must name one row of {join.table!r}; several have {examples}")
    return other.select(*(pl.col(column).alias(f"__{column}") for column in there), *columns)


def _join(frame: pl.LazyFrame, lookup: pl.LazyFrame, join: Join) -> pl.LazyFrame:
    there = [f"__{column}" for column in join.by.values()]
    return frame.join(lookup, left_on=list(join.by), right_on=there, how="left", maintain_order="left")


def _look_up(frame: pl.LazyFrame, lookup: pl.LazyFrame, join: Join, *, key: str) -> Lookup:
    """What `_join` gives; a join would copy every column that is there already, and takes thrice the time in order."""
    there = [f"__{column}" for column in join.by.values()]
    (values,) = collect(narrow_integers(lookup), key=key)
    keys = frame.select(list(join.by)).with_row_index("__row")
    places = values.lazy().select(there).with_row_index("__place")
    matches = keys.join(places, left_on=list(join.by), right_on=there).select("__row", "__place")
    (found,) = collect(matches, key=key)
    nowhere = pl.repeat(None, count_rows(frame), dtype=pl.get_index_type(), eager=True)
    return Lookup(values.drop(there).rechunk(), nowhere.scatter(found["__row"], found["__place"]))
