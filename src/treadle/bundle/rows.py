"""Rows from a file and to a file, for prediction."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from polars.exceptions import PolarsError

from treadle.data.text_files import explain, is_text_file, scan_text
from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.experiment.spec import Table
from treadle.schema import ROW


def read_rows(path: Path, *, table: Table) -> pl.DataFrame:
    """Read Parquet, or text in the format of `table`, whose columns stay strings until the bundle reads them.

    Raises:
        TreadleError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise TreadleError(f"no file {path}")
    try:
        return _read_text(path, table) if is_text_file(path, table) else pl.read_parquet(path)
    except TreadleError as error:
        raise TreadleError(f"cannot read rows from {path}: {error}") from error
    except PolarsError as error:
        reason = explain(error, path, table) if is_text_file(path, table) else str(error).splitlines()[0]
        raise TreadleError(f"cannot read rows from {path}: {reason}") from error


def _read_text(path: Path, table: Table) -> pl.DataFrame:
    with TemporaryDirectory() as scratch:
        rows = scan_text(path, table, scratch=Path(scratch)).collect()
    if ROW not in rows.columns:
        return rows
    number = rows[ROW].cast(pl.Int64, strict=False)  # the example's position, if it is an integer
    return rows if number.null_count() > rows[ROW].null_count() else rows.with_columns(number)


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """Write Parquet, CSV or TSV atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        if path.suffix.lower() in {".csv", ".tsv"}:
            rows.write_csv(partial, separator="\t" if path.suffix.lower() == ".tsv" else ",")
        else:
            rows.write_parquet(partial)
