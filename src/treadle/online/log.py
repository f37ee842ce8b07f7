"""The record of events on disk, from which a state is made again: SQLite, which a killed process leaves whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError
from treadle.online.state import to_physical

_MAKE = "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, feed TEXT, known_at INTEGER, row TEXT)"
_READ = "SELECT feed, row FROM events WHERE known_at >= ? ORDER BY number"


class EventLog:
    """Events as they came, in their order.

    Args:
        path: of the database, which is made where there is none.

    Raises:
        TreadleError: it is no such database, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(path, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            with self._database:
                self._database.execute(_MAKE)
        except sqlite3.Error as error:
            raise TreadleError(f"{path}: the events cannot be recorded: {error}; name another file") from error

    def append(self, feed: str, rows: Sequence[Mapping[str, Any]], known_at: Sequence[int | None]) -> None:
        """Record events, all of them or none; those that never become known are left out.

        Args:
            feed: their table.
            rows: as they came, as JSON has them.
            known_at: moment of each [us].
        """
        pairs = zip(rows, known_at, strict=True)
        records = [(feed, moment, json.dumps(row)) for row, moment in pairs if moment is not None]
        try:
            with self._database:
                self._database.executemany("INSERT INTO events (feed, known_at, row) VALUES (?, ?, ?)", records)
        except sqlite3.Error as error:
            raise TreadleError(f"{self._path}: the events cannot be recorded: {error}") from error

    def read(self, *, since: datetime) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The events that became known since a moment, in their order: parts of one table each."""
        found = self._database.execute(_READ, (to_physical(since),)).fetchall()
        for feed, records in groupby(found, key=lambda record: str(record[0])):
            yield feed, [json.loads(row) for _, row in records]

    def forget(self, *, before: datetime) -> None:
        """Remove what became known before a moment."""
        with self._database:
            self._database.execute("DELETE FROM events WHERE known_at < ?", (to_physical(before),))

    def close(self) -> None:
        """Close the database."""
        self._database.close()
