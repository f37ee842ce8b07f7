"""Where the rows of a batch come from: a file, or the examples of raw tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from treadle import __version__
from treadle.bundle.predictor import Predictor
from treadle.bundle.rows import explain_rows, scan_rows
from treadle.data.formats import READ_ERRORS
from treadle.data.lazy_frames import count_rows
from treadle.data.unlabelled import Unlabelled
from treadle.experiment.files import list_files
from treadle.experiment.spec import Table


class RowSource(Protocol):
    """Rows in a fixed order, of which any part can be read."""

    @property
    def num_rows(self) -> int:
        """How many there are."""

    def read(self, *, start: int, size: int) -> Iterator[pl.DataFrame]:
        """The rows from a position on, so many at a time; of no rows one frame, which has none."""


@dataclass(frozen=True)
class FileSource:
    """The rows of a file, of a text in the dialect of a table."""

    path: Path
    table: Table
    rows: pl.LazyFrame

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, table: Table) -> Iterator[FileSource]:
        """Open a file, and remove what was made for it at the end.

        Raises:
            TreadleError: there is no such file, or it cannot be read.
        """
        with scan_rows(path, table=table) as rows:
            yield cls(path, table, rows)

    @property
    def num_rows(self) -> int:
        """All of the file."""
        return count_rows(self.rows)

    def read(self, *, start: int, size: int) -> Iterator[pl.DataFrame]:
        """Read slices: batches of the streaming engine would run ahead, and wait in memory."""
        try:
            for first in _split(start, self.num_rows, size):
                yield self.rows.slice(first, size).collect()
        except READ_ERRORS as error:
            raise explain_rows(error, self.path, table=self.table) from error


@dataclass(frozen=True)
class TablesSource:
    """The examples of raw tables, of which the look-backs are in memory."""

    made: Unlabelled

    @property
    def num_rows(self) -> int:
        """All of them."""
        return len(self.made.rows)

    def read(self, *, start: int, size: int) -> Iterator[pl.DataFrame]:
        """Gather the columns part by part."""
        for first in _split(start, self.num_rows, size):
            yield self.made.take(first, size)


def _split(start: int, end: int, size: int) -> list[int]:
    """Where each part begins."""
    return list(range(start, end, size)) or ([0] if end == 0 else [])


def identify(bundle: Predictor, *, files: Iterable[str], options: Mapping[str, Any]) -> str:
    """A digest of all that decides about the predictions of a batch: a killed one goes on only where it is the same.

    Args:
        bundle: that predicts; its card lists the digests of its files.
        files: paths or patterns, whose sizes and times of change stand for their contents.
        options: of the command.
    """
    found = [path for name in files for path in list_files(name, root=Path.cwd())]
    stats = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in found]
    known = {"bundle": bundle.card.model_dump(mode="json"), "files": stats, **options, "treadle": __version__}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
