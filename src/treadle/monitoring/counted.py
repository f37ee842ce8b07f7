"""The counts of a log, or of a part of one: what charts judge, without its rows; and files of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.monitoring.log import Log, Reading
from treadle.profiles.cells import Cells
from treadle.profiles.counts import list_counts, read_counts
from treadle.profiles.profile import Profile, count_rows
from treadle.profiles.reference import Reference

FORMAT = 2  # of the files
_KEY = "treadle"  # of what a file says of itself
_PREDICTION = "__prediction__"  # column of the predictions, while they are counted


@dataclass(frozen=True)
class Counted:
    """Counts by block, in the cells of the columns of a reference, and of the predictions of a regression."""

    has_predictions: bool  # whether the last cells are those of the predictions
    profile: Profile
    absent: tuple[str, ...]  # columns of the reference that no part of the log has

    def take_inputs(self, reference: Reference, names: Collection[str]) -> Profile:
        """Some of the columns, without the predictions.

        Args:
            reference: in whose cells it is counted.
            names: of the columns.
        """
        columns = list_counted(reference, has_predictions=self.has_predictions)
        return self.profile.keep(columns, names, num_paired=reference.num_paired)

    def write(self, file: Path, *, reference: Reference, digest: str) -> None:
        """Write a Parquet file, which says of which model the counts are.

        Args:
            file: to write.
            reference: of the model.
            digest: of its bundle.
        """
        about = {
            "format": FORMAT,
            "reference": reference.identify(),
            "bundle": digest,
            "predictions": self.has_predictions,
            "absent": list(self.absent),
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            list_counts(self.profile).write_parquet(partial, metadata={_KEY: json.dumps(about)})


def list_counted(reference: Reference, *, has_predictions: bool) -> list[Cells]:
    """What is counted: the columns of a reference, and of a regression the predictions after them."""
    prediction = reference.performance.prediction
    if not has_predictions or prediction is None:
        return list(reference.columns)
    return [*reference.columns, replace(prediction, name=_PREDICTION)]


def can_count_predictions(reference: Reference, reading: Reading) -> bool:
    """Whether the log has predictions whose cells the reference knows: those of a regression."""
    return reference.performance.prediction is not None and bool(reading.outputs)


def name_rows(rows: pl.LazyFrame, reading: Reading, reference: Reference) -> pl.LazyFrame:
    """The rows of a log, in the types of the reference, with their block, and with the prediction of a regression."""
    named = reference.blocking.name_log(rows, time=reading.time)
    if not can_count_predictions(reference, reading):
        return named
    return named.with_columns(pl.col(reading.outputs[0]).cast(pl.Float64, strict=False).alias(_PREDICTION))


def count_log(log: Log, *, reference: Reference) -> Counted:
    """Count a log.

    Args:
        log: the rows.
        reference: of the model.

    Raises:
        TreadleError: the blocks are of rows, of which those of two parts are not the same.
    """
    refuse_blocks_of_rows(reference)
    return count_named(name_rows(log.rows, log.reading, reference), log.reading, reference)


def count_named(rows: pl.LazyFrame, reading: Reading, reference: Reference) -> Counted:
    """Count rows that `name_rows` has given."""
    has_predictions = can_count_predictions(reference, reading)
    columns = list_counted(reference, has_predictions=has_predictions)
    profile = count_rows(rows, columns, num_paired=reference.num_paired)
    return Counted(has_predictions, profile, tuple(reading.absent))


def refuse_blocks_of_rows(reference: Reference) -> None:
    """Refuse a reference whose blocks have no time: block 1 of a part of a log is not that of another one."""
    if reference.blocking.unit == "rows":
        raise TreadleError(
            "counts of parts add up where blocks have a time; those of this reference are blocks of rows. "
            "evaluation.reference.blocks=day or week, and predict_at in data.examples, give them one"
        )


def read_counted(path: Path, *, reference: Reference, digest: str) -> Counted:
    """The counts of a file, or of all files of a folder together.

    Args:
        path: of the file or the folder.
        reference: of the model.
        digest: of its bundle.

    Raises:
        TreadleError: there is no file, or one is not of this model.
    """
    refuse_blocks_of_rows(reference)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise TreadleError(f"{path} holds no file *.parquet of `treadle profile`")
    parts = [_read(file, reference=reference, digest=digest) for file in files]
    return _merge(parts, reference)


def _read(file: Path, *, reference: Reference, digest: str) -> Counted:
    if not file.is_file():
        raise TreadleError(f"no file or folder {file}")
    try:
        about = json.loads(pl.read_parquet_metadata(file).get(_KEY, "{}"))
        table = pl.read_parquet(file)
    except (PolarsError, OSError, ValueError) as error:
        raise TreadleError(f"cannot read {file}: {str(error).splitlines()[0]}") from error
    if "format" not in about:
        raise TreadleError(f"{file} is no profile: `treadle profile` writes one of a log")
    if about["format"] != FORMAT:
        raise TreadleError(f"{file} was counted by another version of Treadle; count its log again")
    if about["bundle"] != digest:
        raise TreadleError(f"{file} was counted for the bundle {about['bundle'][:12]}; this one is {digest[:12]}")
    if about["reference"] != reference.identify():
        raise TreadleError(
            f"{file} was counted in the cells of another reference: the run was evaluated anew; count its log again"
        )
    columns = list_counted(reference, has_predictions=about["predictions"])
    profile = read_counts(table, columns, num_paired=reference.num_paired)
    return Counted(about["predictions"], profile, tuple(about["absent"]))


def _merge(parts: Sequence[Counted], reference: Reference) -> Counted:
    """With the predictions where each part has them."""
    names = [column.name for column in reference.columns]
    absent = tuple(name for name in names if all(name in part.absent for part in parts))
    has_predictions = all(part.has_predictions for part in parts)
    profiles = (part.profile if has_predictions else part.take_inputs(reference, names) for part in parts)
    return Counted(has_predictions, Profile.merge(profiles), absent)
