"""Count a log on a Spark cluster. The only door to Spark, which the extra `spark` installs.

Workers read the rows and count them by the same expressions as one process does (they need Treadle, too); Spark adds up
what they have counted, and only the counts come here.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from treadle.errors import TreadleError
from treadle.monitoring.counted import Counted, can_count_predictions, list_counted, name_rows, refuse_blocks_of_rows
from treadle.monitoring.log import Reading, find_bundles, find_reading, list_files, part_names, refuse_lost
from treadle.profiles.counts import PLACE, SCHEMA, list_counts, read_counts
from treadle.profiles.profile import BLOCK, Profile, count_part, list_wanted
from treadle.profiles.reference import Reference

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_SCHEMA = "block string, hour int, cell int, other int, rows long, total long"  # of `list_counts`
_LOST = -1  # cell of the rows whose time is no moment
_REMOTE = "://"
_BATCH_ROWS = 65_536  # that a worker counts at a time


@contextmanager
def open_spark(master: str) -> Iterator[SparkSession]:
    """A session, which ends with the block.

    Args:
        master: as Spark names it: `local[4]`, `spark://host:7077`, `yarn`.

    Raises:
        TreadleError: Spark is not installed, or cannot be started.
    """
    try:
        import pandas as pd  # noqa: F401 - Spark asks for both, once rows travel
        import pyarrow as pa  # noqa: F401
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise TreadleError(
            f"--spark needs {error.name}, which is not installed: `pip install 'treadle[spark]'`"
        ) from error
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else a worker takes the first python3 of the path
    builder = SparkSession.builder.master(master).appName("treadle profile")
    builder = builder.config("spark.ui.showConsoleProgress", "false").config("spark.log.level", "ERROR")
    try:
        session = builder.getOrCreate()
    except (PySparkException, OSError) as error:
        fix = "it needs Java (JAVA_HOME), and the master as Spark names it, such as local[4]"
        raise TreadleError(f"--spark: Spark cannot be started at {master!r}: {error}; {fix}") from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "PySpark does not yet fully support pandas", FutureWarning
            )  # not used here
            yield session
    finally:
        session.stop()


def count_by_spark(path: str, *, reference: Reference, time: str | None, digest: str, session: SparkSession) -> Counted:
    """Count the Parquet files of a folder.

    Args:
        path: of a folder that `treadle serve` writes, of a file, or an address that Spark reads, such as `s3a://…`.
        reference: of the model.
        time: column of the time; None: `predict_at`, or `time`.
        digest: of the bundle whose rows are counted, where the log names bundles.
        session: of Spark.

    Raises:
        TreadleError: there are no rows, or they cannot be read.
    """
    from pyspark.errors import PySparkException

    folder = Path(path)
    files = [path] if _REMOTE in path or not folder.is_dir() else [str(file) for file in list_files(folder)]
    try:
        rows = session.read.option("mergeSchema", "true").parquet(*files)
        return count_frame(rows, path=path, reference=reference, time=time, digest=digest)
    except PySparkException as error:
        raise TreadleError(f"--spark cannot count {path}: {_find_reason(error)}") from error


def count_frame(rows: DataFrame, *, path: str, reference: Reference, time: str | None, digest: str) -> Counted:
    """Count the rows of a frame of Spark's.

    Args:
        rows: with the columns of a log.
        path: where they are from, to name it.
        reference: of the model.
        time: column of the time; None: `predict_at`, or `time`.
        digest: of the bundle whose rows are counted, where the log names bundles.

    Raises:
        TreadleError: there is no column of time, or no row of the bundle.
    """
    refuse_blocks_of_rows(reference)
    schema = part_names(_to_polars(rows.limit(0).toArrow()).lazy()).collect_schema()
    reading = find_reading(schema, path=path, reference=reference, time=time)
    bundles = None if reading.bundle is None else _find_bundles(rows, reading.bundle, digest=digest, path=path)
    rows.sparkSession.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(_BATCH_ROWS))
    count = partial(_count_batches, reading=reading, bundles=bundles, reference=reference)
    counted = rows.mapInArrow(count, _SCHEMA).groupBy(PLACE).sum("rows", "total")
    table = _to_polars(counted.toArrow()).rename({"sum(rows)": "rows", "sum(total)": "total"})
    refuse_lost(int(table.filter(pl.col("cell") == _LOST)["rows"].sum()), reading=reading, path=path)
    has_predictions = can_count_predictions(reference, reading)
    columns = list_counted(reference, has_predictions=has_predictions)
    profile = read_counts(table, columns, num_paired=reference.num_paired)
    return Counted(has_predictions, profile, tuple(reading.absent))


def _find_reason(error: Exception) -> str:
    """The line that tells: of a worker's traceback its last one, else the first of all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    starts = [place for place, line in enumerate(lines) if line.startswith("Traceback")]
    told = [line for line in lines[starts[-1] + 1 :] if not line.startswith(("File ", "at ", "^"))] if starts else lines
    return told[-1 if starts else 0]


def _find_bundles(rows: DataFrame, column: str, *, digest: str, path: str) -> list[str]:
    spelled = column if column in rows.columns else column.split(".", 1)[1]  # `log.bundle` is how `part_names` calls it
    named = _to_polars(rows.select(f"`{spelled}`").distinct().toArrow()).to_series()
    return find_bundles(named.drop_nulls().sort().to_list(), digest=digest, path=path)


def _count_batches(
    batches: Iterator[pa.RecordBatch], *, reading: Reading, bundles: list[str] | None, reference: Reference
) -> Iterator[pa.RecordBatch]:
    """What a worker does: count its batches, and hand over the sum."""
    columns = list_counted(reference, has_predictions=can_count_predictions(reference, reading))
    profile: Profile | None = None
    lost = 0
    for batch in batches:
        rows = part_names(_to_polars(batch).lazy())
        if bundles is not None and reading.bundle is not None:
            rows = rows.filter(pl.col(reading.bundle).is_in(bundles))
        if reading.lost is not None:
            lost += rows.select(reading.lost.sum()).collect().item()
        named = name_rows(rows.with_columns(reading.types), reading, reference)
        wanted = named.select(list_wanted(named, columns)).drop_nulls(BLOCK).collect()
        part = count_part(wanted, columns, num_paired=reference.num_paired)
        profile = part if profile is None else Profile.merge([profile, part])
    if profile is not None:
        yield from _to_batches(list_counts(profile))
    if lost:
        yield from _to_batches(
            pl.DataFrame({"cell": [_LOST], "rows": [lost]}).select(
                pl.col(name).cast(dtype) if name in ("cell", "rows") else pl.lit(None, dtype).alias(name)
                for name, dtype in SCHEMA.items()
            )
        )


def _to_batches(table: pl.DataFrame) -> Any:
    from polars import CompatLevel

    return table.to_arrow(compat_level=CompatLevel.oldest()).to_batches()


def _to_polars(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame), "of a table comes a frame"
    return frame
