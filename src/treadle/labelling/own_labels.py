"""The labels that rows of a file have already, and the columns in which the others are to be filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from treadle.bundle.conform import conform_rows
from treadle.data.casting import DTYPES
from treadle.data.lazy_frames import collect, derive, parse
from treadle.errors import TreadleError
from treadle.experiment.spec import Column, Data
from treadle.lineage.graph import Graph, trace_data
from treadle.schema import LABEL

_KEY = "data.examples.label"


@dataclass(frozen=True)
class LabelColumns:
    """The columns of the examples' table that the label is computed from, and what is filled in there."""

    data: Data
    all: Mapping[str, Column]
    to_fill: Mapping[str, Column]  # those that an example does not know
    derived: Mapping[str, str]  # columns between them and the label, in order

    @classmethod
    def of(cls, data: Data) -> LabelColumns:
        """Find them by lineage.

        Raises:
            TreadleError: the label comes from another table, whose rows are others.
        """
        table, name = data.tables[data.examples.table], data.examples.table
        graph = trace_data(data)
        reached = graph.reach([f"examples.{LABEL}"], past=False)
        if foreign := _find_foreign(graph, reached, data):
            raise TreadleError(
                f"{_KEY}: {data.examples.label!r} comes from the table {foreign!r} by a join, so that no column of "
                f"{name!r} can be filled in; write the labels into {foreign!r}, by its key"
            )
        columns = {column: spec for column, spec in table.columns.items() if f"{name}.{column}" in reached}
        late = {column: spec for column, spec in columns.items() if column not in data.examples.known}
        derived = {column: text for column, text in table.derive.items() if f"{name}.{column}" in reached}
        return cls(data, columns, late or columns, derived)

    def name_given(self, rows: pl.DataFrame) -> dict[str, str]:
        """The columns to fill in that the rows have, each with its name there: its own, or that of the table's file."""
        names = {name: (name, column.name_in_file(name)) for name, column in self.to_fill.items()}
        found = {name: next((given for given in both if given in rows.columns), "") for name, both in names.items()}
        return {name: given for name, given in found.items() if given}

    def find_open(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that have no label, as they came, with nothing in a column to fill in that counts as missing.

        A row has none where its label is missing, or where nothing is filled in, whatever the expression makes of that.
        """
        given = self.name_given(rows)
        if not given:
            return rows
        present = {name: column for name, column in self.all.items() if _is_given(name, column, rows)}
        read = conform_rows(rows, present)
        absent = {name: DTYPES[column.dtype] for name, column in self.all.items() if name not in present}
        read = read.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in absent.items())
        empty = read.select(pl.all_horizontal(pl.col(name).is_null() for name in given)).to_series()
        is_open = self.compute(read).is_null() | empty
        cleared = [
            pl.when(read[name].is_not_null()).then(pl.col(column)).alias(column) for name, column in given.items()
        ]
        return rows.with_columns(cleared).filter(is_open)

    def compute(self, read: pl.DataFrame) -> pl.Series:
        """The label of rows that hold all columns in their types; of several the struct, null where one is missing."""
        key = f"data.tables.{self.data.examples.table}.derive"
        made = derive(read.lazy(), self.derived, key=key)
        parsed = [parse(text, made, key=place) for place, text in self.data.examples.labels.items()]
        label = parsed[0]
        if isinstance(self.data.examples.label, dict):
            named = zip(self.data.examples.label, parsed, strict=True)
            present = pl.all_horizontal(one.is_not_null() for one in parsed)
            label = pl.when(present).then(pl.struct(one.alias(name) for name, one in named))
        return collect(made.select(label), key=_KEY)[0].to_series()

    def label_nothing(self) -> Any:
        """The label of a row that has nothing in any of the columns; None where it has none, as should be."""
        nothing = pl.DataFrame(
            {name: [None] for name in self.all}, schema={n: DTYPES[c.dtype] for n, c in self.all.items()}
        )
        return self.compute(nothing).item()


def _is_given(name: str, column: Column, rows: pl.DataFrame) -> bool:
    return name in rows.columns or column.name_in_file(name) in rows.columns


def _find_foreign(graph: Graph, reached: set[str], data: Data) -> str:
    """Another table that the label reads; empty if there is none."""
    tables = (node.partition(".")[0] for node in graph.nodes if node in reached)
    return next((table for table in tables if table in data.tables and table != data.examples.table), "")
