"""Rows from a file and to a file, for prediction."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from treadle.schema import TreadleError


def read_rows(path: Path) -> pl.DataFrame:
    """Read Parquet or CSV."""
    if not path.is_file():
        raise TreadleError(f"no file {path}")
    try:
        return pl.read_csv(path, infer_schema_length=None) if path.suffix.lower() == ".csv" else pl.read_parquet(path)
    except PolarsError as error:
        raise TreadleError(f"cannot read rows from {path}: {str(error).splitlines()[0]}") from error


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """Write Parquet or CSV, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    if path.suffix.lower() == ".csv":
        rows.write_csv(partial)
    else:
        rows.write_parquet(partial)
    partial.replace(path)
