"""The rows to be monitored: what `treadle serve` has logged, or any file of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from treadle.errors import TreadleError
from treadle.hints import nearest
from treadle.profiles.cells import Cells
from treadle.profiles.reference import Reference
from treadle.schema import LABEL, PREDICT_AT
from treadle.tasks import TRAITS

TIME, BUNDLE = "time", "bundle"  # columns of a log besides inputs and outputs
_INPUT, _LOG = "input.", "log."  # before names that inputs and the log share
IDS = ("id", f"{_LOG}id")  # of predictions, as they may be called here
_RECENT = "recent"  # folder of a log: the last seconds, until they become one file
_SHADOW = "shadow"  # folder of a log: what a challenger would have answered
LABELS = "labels"  # folder of a log: labels that came later
_COUNTED = "write numbers that count from 1970 as moments: `pl.from_epoch(column, time_unit='s')`, or 'ms', 'us', 'ns'"
_SUFFIXES = (".parquet", ".csv", ".tsv")


@dataclass(frozen=True)
class Reading:
    """How rows of a log are read in the types of a reference: the same of each part of the log."""

    types: list[pl.Expr]  # its columns in the types of the reference
    time: str | None  # column of the time
    lost: pl.Expr | None  # whether a row has a time that is no moment; None: there is no time
    bundle: str | None  # column of the bundle
    absent: list[str]  # columns of the reference that the log does not have, whose values count as missing
    outputs: list[str]  # columns of the predictions; empty where it has none


@dataclass(frozen=True)
class Log:
    """What was recorded, and how it is read in the types of the reference."""

    path: Path
    everything: pl.LazyFrame  # rows of all bundles, in the types of the file
    own: pl.LazyFrame  # those of the bundle
    reading: Reading

    @property
    def rows(self) -> pl.LazyFrame:
        """Rows of the bundle, in the types of the reference."""
        return self.own.with_columns(self.reading.types)

    def find_name(self, name: str) -> str:
        """What a column is called here that the files of the log call by this name: see `_part_names`."""
        schema = self.own.collect_schema()
        return (
            name.removeprefix(_INPUT) if name not in schema else f"{_LOG}{name}" if f"{_LOG}{name}" in schema else name
        )

    @property
    def has_labels(self) -> bool:
        """Whether its own rows hold labels."""
        return LABEL in self.own.collect_schema()


def open_log(path: Path, *, reference: Reference, time: str | None, digest: str | None) -> Log:
    """Open a folder of Parquet files, or one file of Parquet, CSV or TSV.

    Args:
        path: of the folder or the file.
        reference: whose columns are read.
        time: column of the time; None: `predict_at`, or `time`.
        digest: of the bundle whose rows are wanted, where the log names bundles; None: all rows.

    Raises:
        TreadleError: there are no rows, a column of time is missing or is none, or no row is of this bundle.
    """
    try:
        everything = part_names(scan(path))
        schema = everything.collect_schema()
    except PolarsError as error:
        raise TreadleError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    reading = find_reading(schema, path=str(path), reference=reference, time=time)
    own = everything
    if digest is not None and reading.bundle is not None:
        names = everything.select(pl.col(reading.bundle).unique().sort()).collect().to_series().drop_nulls().to_list()
        own = everything.filter(pl.col(reading.bundle).is_in(find_bundles(names, digest=digest, path=str(path))))
    if reading.lost is not None:
        refuse_lost(own.select(reading.lost.sum()).collect().item(), reading=reading, path=str(path))
    return Log(path, everything, own, reading)


def find_reading(schema: pl.Schema, *, path: str, reference: Reference, time: str | None) -> Reading:
    """How rows of these columns are read, which are named as by `part_names`.

    Args:
        schema: of the log.
        path: of the log, to name it.
        reference: whose columns are read.
        time: column of the time; None: `predict_at`, or `time`.

    Raises:
        TreadleError: a column of time is missing or is none, or no column is of the reference.
    """
    time = _find_time(path, schema, time=time, is_needed=reference.blocking.unit != "rows")
    outputs = _find_outputs(schema, reference)
    present = [column for column in reference.columns if column.name in schema]
    if not present:
        wanted = ", ".join(column.name for column in reference.columns[:5])
        raise TreadleError(f"{path} has none of the columns of the reference, such as {wanted}")
    types = [_cast(column) for column in present]
    absent = [column for column in reference.columns if column.name not in schema]
    types += [pl.lit(None, _find_type(column)).alias(column.name) for column in absent]  # all its values are missing
    types += [pl.col(name).cast(pl.Float64, strict=False) for name in outputs if not schema[name].is_numeric()]
    moment = None if time is None else _read_time(time, path, schema)
    types += [] if moment is None or time is None else [moment.alias(time)]
    lost = None if moment is None or time is None else pl.col(time).is_not_null() & moment.is_null()
    return Reading(types, time, lost, _find_own(schema, BUNDLE), [column.name for column in absent], outputs)


def part_names(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Inputs under their own names; what the log calls by the same name is put under `log.<name>`.

    `treadle serve` records an input that is called like a column of its own, such as `time`, as `input.time`.
    """
    schema = rows.collect_schema()
    shared = [name.removeprefix(_INPUT) for name in schema if name.startswith(_INPUT)]
    shared = [name for name in shared if name in schema]
    return rows.rename({name: f"{_LOG}{name}" for name in shared} | {f"{_INPUT}{name}": name for name in shared})


def _find_own(schema: pl.Schema, name: str) -> str | None:
    """A column of the log's own, as it is called here; None where there is none."""
    return next((found for found in (f"{_LOG}{name}", name) if found in schema), None)


def find_labels(path: Path) -> Path:
    """Where the labels of a log are kept: within the folder, or beside the file."""
    return path / LABELS if path.is_dir() else path.with_name(f"{path.stem}.{LABELS}")


def scan(path: Path) -> pl.LazyFrame:
    """The rows of a folder or a file, under the names and in the types that it has.

    Raises:
        TreadleError: there is none, or it is of another kind.
    """
    if path.is_dir():
        return pl.concat(map(pl.scan_parquet, list_files(path)), how="diagonal_relaxed")
    if not path.is_file():
        raise TreadleError(f"no file or folder {path}")
    if path.suffix.lower() not in _SUFFIXES:
        raise TreadleError(f"{path}: a log is a folder of Parquet files, or a file of {', '.join(_SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        return pl.scan_parquet(path)
    return pl.scan_csv(path, separator="\t" if path.suffix.lower() == ".tsv" else ",", infer_schema=False)


def list_files(folder: Path) -> list[Path]:
    """The Parquet files of a log, or of several in folders of their own.

    The file `x.parquet` stands for those of a folder `recent/x` beside it, if there still is one.

    Raises:
        TreadleError: there is none.
    """
    apart = {LABELS, _SHADOW}
    found = {file for file in folder.rglob("*.parquet") if apart.isdisjoint(file.relative_to(folder).parts)}
    files = [file for file in found if file.parents[1].name != _RECENT or _find_whole(file) not in found]
    if not files:
        fix = f"`treadle serve` with serving.log.folder={folder} records predictions"
        raise TreadleError(f"{folder} holds no file *.parquet: {fix}")
    return sorted(files)


def _find_whole(file: Path) -> Path:
    """What a file of the last seconds becomes a part of, once they are over."""
    return file.parents[2] / f"{file.parent.name}.parquet"


def _find_time(path: str, schema: pl.Schema, *, time: str | None, is_needed: bool) -> str | None:
    if time is not None and time not in schema:
        raise TreadleError(f"{path} has no column {time!r} for --time. {nearest(time, schema)}")
    found = time or next((name for name in (PREDICT_AT, f"{_LOG}{TIME}", TIME) if name in schema), None)
    if found is None and is_needed:
        raise TreadleError(f"{path} has neither {PREDICT_AT} nor {TIME}; name its column of time by --time")
    return found


def _read_time(time: str, path: str, schema: pl.Schema) -> pl.Expr:
    """Moments in UTC, without a zone."""
    dtype = schema[time]
    if dtype == pl.String:
        return pl.col(time).str.to_datetime(strict=False, time_unit="us", time_zone="UTC").dt.replace_time_zone(None)
    if dtype == pl.Date:
        return pl.col(time).cast(pl.Datetime("us"))
    if isinstance(dtype, pl.Datetime):
        zoned = pl.col(time) if dtype.time_zone is None else pl.col(time).dt.convert_time_zone("UTC")
        return zoned.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    counts = f"; {_COUNTED}" if dtype.is_integer() else ""
    raise TreadleError(f"{path}: the column {time!r} must be a date or datetime, found {dtype}{counts}")


def refuse_lost(num_lost: int, *, reading: Reading, path: str) -> None:
    """Refuse a log in which the time of some rows is no moment."""
    if num_lost:
        raise TreadleError(
            f"{path}: {num_lost:,} values of {reading.time!r} are no moments, such as 2013-09-01T08:00:00Z; {_COUNTED}"
        )


def find_bundles(names: Sequence[str], *, digest: str, path: str) -> list[str]:
    """The names by which a log calls a bundle: its digest, or a beginning of it.

    Args:
        names: of all bundles in the log.
        digest: of the bundle.
        path: of the log, to name it.

    Raises:
        TreadleError: none is of this bundle.
    """
    if not names:
        raise TreadleError(f"{path} holds no rows")
    own = [name for name in names if name and digest.startswith(name)]
    if not own:
        listed = ", ".join(name[:12] for name in names[:5])
        raise TreadleError(f"{path} has no row of the bundle {digest[:12]}; it has rows of {listed}")
    return own


def _cast(column: Cells) -> pl.Expr:
    """Numbers as numbers, all else as text; a text that is no number counts as missing, and shows as such."""
    return pl.col(column.name).cast(_find_type(column), strict=False)


def _find_type(column: Cells) -> pl.DataType:
    return pl.Float64() if column.texts is None else pl.String()


def _find_outputs(schema: pl.Schema, reference: Reference) -> list[str]:
    """As `treadle predict` names them; none where the log does not hold predictions."""
    traits = TRAITS[reference.task]
    if traits.has_classes:
        inputs = set(reference.names)  # one may be called like an output
        return traits.name_outputs(traits.read_names([name for name in schema if name not in inputs]))
    found = _find_own(schema, traits.column)
    return [] if found is None else [found]
