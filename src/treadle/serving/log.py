"""The log of predictions: rolling Parquet files that are whole at any moment.

    <folder>/<begin>-<server>-<number>.parquet         a period: `serving.log.roll`
    <folder>/recent/<the same>/<number>.parquet        the last seconds of it, a file a second

A file is written beside and renamed, so that kill -9 loses the last second and leaves none that cannot be read. Once a
period is over, its files become one; a file of a period takes the place of those in `recent`. What a killed server left
there, the next one puts together.

Columns: `id`, `time` (UTC), `bundle` (digest), `ms`, `engine`, the columns of the row, and those that `treadle predict`
writes; with a canary also `key`, the hash of the value by which a row was given to its bundle.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from filelock import FileLock, Timeout

from treadle.data.casting import DTYPES
from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.serving.readers import to_frame

RECENT = "recent"
SHADOW = "shadow"  # folder of a log of the same form: what a challenger would have answered, by the same ids
KEY = "key"
_OWN = {"id": pl.String(), "time": DTYPES["datetime"], "bundle": pl.String(), "ms": pl.Float64(), "engine": pl.String()}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEX = 16  # the base of an id


class Record(NamedTuple):
    """One prediction."""

    id: str
    time: datetime
    bundle: str
    ms: float
    cells: Sequence[Any]
    prediction: Mapping[str, Any]
    key: str | None = None  # hash of the value by which it was given to its bundle
    engine: str = "eager"  # what computed it


class PredictionLog:
    """Writes the predictions of one bundle. `add` is cheap; `flush` writes, and may run in another thread.

    Args:
        folder: of the files.
        types: of the columns of a row.
        kept: names of those that are recorded.
        outputs: names and types of what is predicted.
        share: of the predictions that is recorded.
        roll: time that a file covers.
        keyed: whether records have a key.
    """

    def __init__(
        self,
        folder: Path,
        *,
        types: Mapping[str, pl.DataType],
        kept: Sequence[str],
        outputs: Mapping[str, pl.DataType],
        share: float,
        roll: timedelta,
        keyed: bool,
    ) -> None:
        self._own = _OWN | ({KEY: pl.String()} if keyed else {})
        self._folder = folder
        self._types = {name: types[name] for name in kept}
        self._places = [place for place, name in enumerate(types) if name in self._types]
        self._outputs = dict(outputs)
        self._share = share
        self._roll = roll
        self._server = os.urandom(4).hex()
        self._records: list[Record] = []
        self._lock = threading.Lock()  # of files: one thread flushes at a time
        self._period: str | None = None
        self._ends = _EPOCH
        self._num_periods = self._num_parts = 0
        self.num_failed = 0  # records that could not be written
        (folder / RECENT).mkdir(parents=True, exist_ok=True)
        self._alive = FileLock(_lock_of(folder, self._server), blocking=False)
        self._alive.acquire()
        recover(folder)

    def wants(self, request: str) -> bool:
        """Whether the predictions of a request are recorded: a share of the ids, which are random."""
        return int(request[:8], _HEX) < self._share * (1 << 32)

    def add(self, record: Record) -> None:
        """Keep it until the next flush."""
        self._records.append(record)

    def flush(self, *, now: datetime) -> None:
        """Write what was added since the last time, and end the period when it is over.

        Raises:
            OSError: the disk refuses; what was added is lost and counted, so that memory does not fill.
        """
        with self._lock:
            records, self._records = self._records, []
            try:
                if self._period is not None and now >= self._ends:
                    self._end_period()
                if records:
                    self._write(records, now=now)
            except BaseException:
                self.num_failed += len(records)
                raise

    def close(self, *, now: datetime) -> None:
        """Write everything, as files of whole periods."""
        self.flush(now=now)
        with self._lock:
            if self._period is not None:
                self._end_period()
            self._alive.release()
            Path(self._alive.lock_file).unlink(missing_ok=True)

    def _write(self, records: Sequence[Record], *, now: datetime) -> None:
        if self._period is None:
            self._period = f"{now:%Y%m%dT%H%M%S}-{self._server}-{self._num_periods}"
            self._ends = now + self._roll
            self._num_periods += 1
            self._num_parts = 0
        part = self._folder / RECENT / self._period / f"{self._num_parts:06}.parquet"
        part.parent.mkdir(parents=True, exist_ok=True)
        frame = self._to_frame(records)
        with replacing(part) as partial:
            frame.write_parquet(partial)
        self._num_parts += 1

    def _to_frame(self, records: Sequence[Record]) -> pl.DataFrame:
        told = [(*record[:4], record.engine, record.key)[: len(self._own)] for record in records]
        own = pl.DataFrame(told, schema=self._own, orient="row")
        cells = [tuple(record.cells[place] for place in self._places) for record in records]
        inputs = to_frame(cells, self._types) if self._types else pl.DataFrame()
        inputs = inputs.rename(lambda name: name_input(name, outputs=self._outputs))
        predicted = pl.DataFrame([record.prediction for record in records], schema=self._outputs)
        return pl.concat([own, inputs, predicted], how="horizontal")

    def _end_period(self) -> None:
        assert self._period is not None, "it has begun"
        _join(self._folder, self._period)
        self._period = None


def recover(folder: Path) -> None:
    """Put together what servers left that were killed."""
    for period in sorted(path.name for path in (folder / RECENT).iterdir() if path.is_dir()):
        lock = _lock_of(folder, period.split("-")[1])
        with contextlib.suppress(Timeout), FileLock(lock, blocking=False):
            _join(folder, period)
            lock.unlink(missing_ok=True)


def scan_log(folder: Path) -> pl.LazyFrame:
    """Every prediction of the log, each once, the oldest file first.

    Raises:
        TreadleError: there is none.
    """
    whole = {path.stem: path for path in folder.glob("*.parquet")}
    parts = [path for path in (folder / RECENT).glob("*/*.parquet") if path.parent.name not in whole]
    files = sorted([*whole.values(), *parts], key=lambda path: path.parent.name + path.stem)
    if not files:
        raise TreadleError(f"no predictions in {folder}: `treadle serve` with serving.log.folder={folder} records them")
    return pl.concat(map(pl.scan_parquet, files), how="diagonal_relaxed")


def name_input(name: str, *, outputs: Collection[str]) -> str:
    """What the log calls a column of the row: one that it may have itself is put under `input.<name>`.

    Args:
        name: of the column.
        outputs: names of what is predicted.
    """
    return f"input.{name}" if name in _OWN or name == KEY or name in outputs else name


def _join(folder: Path, period: str) -> None:
    """The files of a period as one; after a crash in between, again."""
    parts = folder / RECENT / period
    whole = folder / f"{period}.parquet"
    files = sorted(parts.glob("*.parquet"))
    if files and not whole.exists():
        with replacing(whole) as partial:
            pl.concat(map(pl.read_parquet, files)).write_parquet(partial)
    shutil.rmtree(parts, ignore_errors=True)


def _lock_of(folder: Path, server: str) -> Path:
    """The file that a server locks as long as it lives."""
    return folder / RECENT / f"{server}.lock"
