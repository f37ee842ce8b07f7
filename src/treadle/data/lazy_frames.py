"""Lazy frames of Polars: SQL expressions as columns, collecting, materializing in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from treadle.errors import TreadleError
from treadle.sql.dialect import Bounds, TranslationError
from treadle.sql.translate import to_expr, translate

COLUMNS, CELLS = 64, 1 << 22  # at most, in memory at once, where not all columns are needed together
MEMORY_CELLS = 1 << 26  # of a table that stays in memory: 0.5 GB of numbers, 1 GB of texts


def parse(text: str, rows: pl.LazyFrame, *, key: str) -> pl.Expr:
    """One row-wise SQL expression over the columns of `rows`.

    Raises:
        TreadleError: the text is not an expression that Polars knows.
    """
    with _naming(text, key):
        return to_expr(text, rows.collect_schema)


def derive(frame: pl.LazyFrame, expressions: Mapping[str, str], *, key: str) -> pl.LazyFrame:
    """Add columns in order; each may use the ones before it. Errors as in `parse`."""
    bounds: dict[str, Bounds] = {}
    for name, text in expressions.items():
        with _naming(text, f"{key}.{name}"):
            found = translate(text, frame.collect_schema, bounds)
            frame = frame.with_columns(found.expr.alias(name))
        if found.bounds is not None:
            bounds[name] = found.bounds
    return frame


@contextmanager
def _naming(text: str, key: str) -> Iterator[None]:
    try:
        yield
    except (PolarsError, TranslationError) as error:
        raise TreadleError(f"{key}: {text!r} is not an SQL expression: {error}") from error


def collect(*frames: pl.LazyFrame, key: str) -> list[pl.DataFrame]:
    """Collect frames together; a column or a type that does not fit is a mistake at `key` of the configuration."""
    try:
        return pl.collect_all(frames)
    except PolarsError as error:
        raise _refuse(error, key) from error


def collect_names(frame: pl.LazyFrame, *, key: str) -> list[str]:
    """Names of the columns of a frame; errors as in `collect`."""
    try:
        return frame.collect_schema().names()
    except PolarsError as error:
        raise _refuse(error, key) from error


def count_rows(frame: pl.LazyFrame) -> int:
    """The number of rows; nearly free where the frame is a file or lies in memory."""
    return int(frame.select(pl.len()).collect().item())


def materialize(frame: pl.LazyFrame, path: Path, *, num_cells: int) -> pl.LazyFrame:
    """Run a frame once, in the order of its rows: into memory where it is small, else into a Parquet file at `path`."""
    if num_cells <= MEMORY_CELLS:
        return frame.collect().lazy()
    frame.sink_parquet(path, compression="lz4", statistics=False)
    return pl.scan_parquet(path)


def materialize_derived(frame: pl.LazyFrame, path: Path, *, num_rows: int, key: str) -> pl.LazyFrame:
    """`materialize` for a frame with expressions of the configuration; errors as in `collect`."""
    try:
        return narrow_integers(materialize(frame, path, num_cells=num_rows * len(frame.collect_schema())))
    except PolarsError as error:
        raise _refuse(error, key) from error


def narrow_integers(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Integers of 128 bits, the result of arithmetic, as 64 bits where all of a column fit, else as floats."""
    wide = [name for name, dtype in frame.collect_schema().items() if dtype == pl.Int128()]
    if not wide:
        return frame
    least, most = pl.Int64.min(), pl.Int64.max()
    fit = frame.select((pl.col(name) >= least) & (pl.col(name) <= most) for name in wide)
    fits = fit.select(pl.all().all()).collect().row(0)
    return frame.with_columns(
        pl.col(name).cast(pl.Int64 if is_small else pl.Float64) for name, is_small in zip(wide, fits, strict=True)
    )


def collect_columns(frame: pl.LazyFrame, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Some columns at a time, so that a long table is never whole in memory, and no step costs by the width squared."""
    step = max(1, min(COLUMNS, CELLS // max(1, count_rows(frame))))
    for start in range(0, len(columns), step):
        yield frame.select(columns[start : start + step]).collect()


def _refuse(error: PolarsError, key: str) -> TreadleError:
    reason = str(error).split("\n\n", 1)[0]
    return TreadleError(f"{key}: the expressions do not fit the columns: {reason}")
