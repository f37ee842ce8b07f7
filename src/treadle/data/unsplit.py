"""Examples before they are split: those of runs whose split alone differs are the same, and may be kept in files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from treadle.data.label_report import list_vote_columns
from treadle.data.lazy_frames import collect_columns
from treadle.data.series import SERIES_FILE
from treadle.experiment.spec import Data, get_split_column
from treadle.schema import LABEL, PREDICT_AT, ROW, SHARES, WEIGHT

ROLES = (ROW, PREDICT_AT, LABEL, WEIGHT, SHARES)
_ROWS, _EXCLUDED = "examples.parquet", "excluded.json"
_PLACE = "__place"  # of an example among all of them
_SPLIT = "__split"  # the column that the split goes by, as it is in the table


class Columns(Protocol):
    """Adds its columns to examples."""

    def add_to(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Whole examples, from rows with ROW, the other roles, and what the columns are found by."""


@dataclass(frozen=True)
class Unsplit:
    """The examples of all splits, in one order."""

    columns: Columns
    rows: pl.DataFrame  # ROW, the other roles, votes, what the split goes by, and what `columns` needs
    excluded: dict[str, int]  # rows left out, by reason
    series: pl.DataFrame | None  # of a forecast, as `read_series` gives it


@dataclass(frozen=True)
class StoredColumns:
    """The columns of examples in a file; the row of an example is its _PLACE."""

    file: pl.LazyFrame
    names: list[str]

    def add_to(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Read some columns at a time: the file need not fit into memory."""
        roles = [rows[name] for name in ROLES if name in rows.columns]
        columns = [column for part in collect_columns(self.file, self.names) for column in part[rows[_PLACE]]]
        return pl.DataFrame([*roles, *columns])


def write_frame(frame: pl.DataFrame, file: Path) -> pl.Schema:
    """Write Parquet as stages do; gives its schema."""
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(file, compression="lz4", statistics=False)  # twice as fast to read as the default, zstd
    return frame.schema


def write_unsplit(unsplit: Unsplit, data: Data, folder: Path) -> None:
    """Write what `read_unsplit` reads; errors as in `Columns.add_to`."""
    votes = unsplit.rows.select(list_vote_columns(data.labels))
    whole = pl.concat([unsplit.columns.add_to(unsplit.rows), votes], how="horizontal")
    by = get_split_column(data.split)
    write_frame(whole if by is None else whole.with_columns(unsplit.rows[by].alias(_SPLIT)), folder / _ROWS)
    if unsplit.series is not None:
        write_frame(unsplit.series, folder / SERIES_FILE)
    (folder / _EXCLUDED).write_text(json.dumps(unsplit.excluded) + "\n")


def read_unsplit(folder: Path, data: Data) -> Unsplit:
    """The examples that `write_unsplit` wrote, of the same data with whatever split by the same column."""
    file = pl.scan_parquet(folder / _ROWS)
    present, by = file.collect_schema().names(), get_split_column(data.split)
    deciding = [name for name in (*ROLES, _SPLIT, *list_vote_columns(data.labels)) if name in present]
    rows = file.select(deciding).with_row_index(_PLACE).collect()
    if by is not None:
        rows = rows.drop(_SPLIT).with_columns(rows[_SPLIT].alias(by))
    columns = StoredColumns(file, [name for name in present if name not in deciding])
    series = None if data.forecast is None else pl.read_parquet(folder / SERIES_FILE)
    return Unsplit(columns, rows, json.loads((folder / _EXCLUDED).read_text()), series)
