"""Rows from a file and to a file, for prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from treadle.data.casting import column_of
from treadle.data.compression import estimate_size
from treadle.data.formats import READ_ERRORS, find_format
from treadle.data.lazy_frames import materialize
from treadle.data.table_files import LETTERS, read_named_files
from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.experiment.files import is_lake
from treadle.experiment.spec import Table
from treadle.schema import ROW


def read_rows(path: Path, *, table: Table) -> pl.DataFrame:
    """All rows that `scan_rows` gives; errors as there, and those of its `explain_rows`."""
    with scan_rows(path, table=table) as rows:
        try:
            return rows.collect()
        except READ_ERRORS as error:
            raise explain_rows(error, path, table=table) from error


@contextmanager
def scan_rows(path: Path, *, table: Table) -> Iterator[pl.LazyFrame]:
    """Any file that a table is read from; of a text in the dialect of `table` columns stay strings.

    Of either, any rows can be read at the cost of reading them alone: a large text becomes Parquet first.

    Raises:
        TreadleError: there is no such file, or it cannot be read.
    """
    if not (path.is_file() or is_lake(path)):
        raise TreadleError(f"no file {path}")
    with TemporaryDirectory() as scratch:
        try:
            known = find_format(path, table)
            rows = known.scan(path, table, scratch=Path(scratch))
            rows = _read_texts(rows, path, scratch=Path(scratch)) if known.is_text else rows
            rows = read_named_files(rows, table, root=Path())  # last: of a text only the names are in memory
            rows.collect_schema()
        except TreadleError as error:
            raise TreadleError(f"cannot read rows from {path}: {error}") from error
        except READ_ERRORS as error:
            raise explain_rows(error, path, table=table) from error
        yield rows


def explain_rows(error: Exception, path: Path, *, table: Table) -> TreadleError:
    """What is wrong with a file of rows, and where."""
    return TreadleError(f"cannot read rows from {path}: {find_format(path, table).explain(error, path, table)}")


def as_base64(schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """Images as the texts that a text file holds, and that are read as images again."""
    return [column_of(name).bin.encode("base64") for name, dtype in schema.items() if dtype == pl.Binary()]


def _read_texts(rows: pl.LazyFrame, path: Path, *, scratch: Path) -> pl.LazyFrame:
    num_cells = estimate_size(path) // LETTERS
    read = materialize(rows, scratch / "rows.parquet", num_cells=num_cells)
    if ROW not in read.collect_schema():
        return read
    number = pl.col(ROW).cast(pl.Int64, strict=False)  # the example's position, if it is an integer
    lost = read.select(number.null_count() > pl.col(ROW).null_count()).collect().item()
    return read if lost else read.with_columns(number)


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """Write Parquet, CSV or TSV atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        if path.suffix.lower() in {".csv", ".tsv"}:
            texts = rows.with_columns(as_base64(rows.schema))
            texts.write_csv(partial, separator="\t" if path.suffix.lower() == ".tsv" else ",")
        else:
            rows.write_parquet(partial)
