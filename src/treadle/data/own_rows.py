"""The rows that an example is made of, which would leak its label: its own, and those that its label is joined from.

A row is identified by its position in its table; another table that reads the same file has the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import polars as pl

from treadle.data.lazy_frames import count_rows
from treadle.data.series import SOURCE
from treadle.data.table_files import open_table_files
from treadle.errors import TreadleError
from treadle.experiment.files import list_sources, match_files
from treadle.experiment.spec import Data, Join
from treadle.schema import KNOWN_AT, PREDICT_AT, ROW
from treadle.sql.expressions import list_columns

UNIQUE_SHARE = 0.9  # of rows, from which on a row with equal values is taken for the same row


class OwnRows:
    """Finds the rows, in any table, that must not reach the features of an example.

    Args:
        rows: the examples, with ROW, PREDICT_AT and the keys by which their label is looked up.
        tables: the rows of each table; KNOWN_AT stands in those that are looked back at.
        data: what is declared.
        label_joins: the joins of the examples' table that the label is computed from.
        root: the project; paths of tables are relative to it.
        scratch: a folder for copies of text files.
    """

    def __init__(
        self,
        rows: pl.DataFrame,
        tables: Mapping[str, pl.LazyFrame],
        data: Data,
        *,
        label_joins: Sequence[Join],
        root: Path,
        scratch: Path,
    ) -> None:
        self._tables, self._data, self._root, self._scratch = tables, data, root, scratch
        looked_up = [(join.table, _look_up(rows, join, tables[join.table])) for join in label_joins]
        self._sources = rows[SOURCE if SOURCE in rows.columns else ROW]
        self._own = [(data.examples.table, self._sources), *looked_up]
        self._rows = rows.select(ROW, PREDICT_AT)
        self._found: dict[str, list[pl.Series]] = {}

    def find(self, table: str) -> list[pl.Series]:
        """Positions in a table, each series with one (or null) an example.

        Raises:
            TreadleError: the table shares a file with the examples', and reads other rows from it, or holds the
                examples once more in another file, where they are known by the time of the prediction.
        """
        if table not in self._found:
            self._found[table] = self._find(table)
        return self._found[table]

    def _find(self, table: str) -> list[pl.Series]:
        found = [self._translate(positions, here, table) for here, positions in self._own]
        if found[0] is None:
            self._refuse_copies(table)
        return [positions for positions in found if positions is not None]

    def _refuse_copies(self, table: str) -> None:
        """Raise where a table of another file holds most examples, labels included, known by the time of prediction."""
        here = self._data.examples.table
        ours, theirs = self._data.tables[here].columns, self._data.tables[table].columns
        shared = [name for name in ours if name in theirs and ours[name].dtype == theirs[name].dtype]
        labels = self._data.examples.labels.values()
        if not set(shared).intersection(column for text in labels for column in list_columns(text)):
            return
        rows = self._tables[here].select(shared).collect()[self._sources]
        if rows.n_unique() < UNIQUE_SHARE * len(rows):
            return  # rows are alike by chance
        known = self._tables[table].group_by(shared).agg(pl.col(KNOWN_AT).min().alias("__known_at"))
        asked = rows.lazy().with_columns(self._rows[PREDICT_AT].alias("__asked"))
        copies = asked.join(known, on=shared, nulls_equal=True).filter(pl.col("__known_at") <= pl.col("__asked"))
        num_copies = count_rows(copies)
        if num_copies > len(rows) / 2:
            rule = (
                f"{table!r} holds {num_copies:,} of the {len(rows):,} examples of {here!r} once more, in another file"
            )
            fix = f"look back at {here!r} itself, where an example's own row is left out"
            raise TreadleError(f"data.tables.{table}: {rule}, so that an example would know its own label; {fix}")

    def _translate(self, positions: pl.Series, here: str, there: str) -> pl.Series | None:
        """The same rows in the other table; None where the two share no file."""
        if here == there:
            return positions
        files = self._list_sources(here)
        twins = match_files(files, self._list_sources(there))
        if not twins:
            return None
        ours, theirs = self._measure(here), self._measure(there)
        parts = []
        for file in files:
            twin = twins.get(file)
            rows = range(len(ours[file])) if twin is None else theirs[twin]
            if len(rows) != len(ours[file]):
                rule = f"reads {len(rows):,} rows from {file.name}, and {here!r} {len(ours[file]):,}"
                fix = f"read the file in both tables alike, so that an example's own row can be identified in {there!r}"
                raise TreadleError(f"data.tables.{there}: {rule}; {fix}")
            part = pl.int_range(rows.start, rows.stop, eager=True)
            parts.append(part.clear(len(part)) if twin is None else part)
        return pl.concat(parts).gather(positions)

    def _list_sources(self, table: str) -> list[Path]:
        return list_sources(self._data.tables[table].path, root=self._root)

    def _measure(self, table: str) -> dict[Path, range]:
        """The rows of each of the table's files."""
        spec = self._data.tables[table]
        files = open_table_files(spec, key=f"data.tables.{table}", root=self._root, scratch=self._scratch)
        ends = list(accumulate(count_rows(file.rows) for file in files))
        return {file.path: range(*bounds) for file, bounds in zip(files, pairwise([0, *ends]), strict=True)}


def _look_up(rows: pl.DataFrame, join: Join, other: pl.LazyFrame) -> pl.Series:
    """The position in the other table of the row that each example is joined with."""
    keys = other.select(list(join.by.values())).with_row_index("__position")
    asked = rows.lazy().select(list(join.by))
    found = asked.join(keys, left_on=list(join.by), right_on=list(join.by.values()), how="left", maintain_order="left")
    return found.select("__position").collect().to_series()
