"""The record of events, from which states are made: SQLite, in memory or in a file that a killed process leaves whole.

Every state follows the log in its order, by the places of events. So several processes with one log agree.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from treadle.errors import TreadleError
from treadle.online.state import to_physical

_MAKE = (
    "CREATE TABLE IF NOT EXISTS events "
    "(number INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT, known_at INTEGER, row TEXT)"
)
_INDEX = "CREATE INDEX IF NOT EXISTS moments ON events (known_at)"
_READ = "SELECT number, feed, row FROM events WHERE number > ? AND known_at >= ? ORDER BY number LIMIT ?"
_EVER = -(1 << 63)  # before every moment [us]
PART = 4096  # events that are read at once


class LogError(TreadleError):
    """The log cannot be reached, or written, now."""


class ReplacedError(LogError):
    """The log is another one than before: emptied, or restored from an older copy. A state begins anew with it."""


class Place(NamedTuple):
    """How far a log was read."""

    number: int  # of the last event that was read
    mark: str  # of the append that recorded it, by which another log with the same number is noticed; "": not marked


START = Place(0, "")  # nothing was read


class Appended(NamedTuple):
    """Where events were recorded."""

    before: Place  # of the event before the first of them
    last: Place  # of the last of them


class Part(NamedTuple):
    """Events of one table that follow each other."""

    feed: str
    rows: list[dict[str, Any]]
    last: Place  # of the last of them


class EventLog(Protocol):
    """Where events are recorded, in their order. Each call raises `LogError` where the log is out of reach."""

    def append(self, feed: str, rows: Sequence[Mapping[str, Any]], known_at: Sequence[int | None]) -> Appended:
        """Record events, all of them or none, and once; those that never become known are left out.

        Args:
            feed: their table.
            rows: as they came, as JSON has them.
            known_at: moment of each [us].
        """

    def read(self, *, after: Place, since: datetime | None = None) -> Iterator[Part]:
        """The events after a place that became known since a moment, in their order.

        Raises:
            ReplacedError: there is no such place in this log; `START` is in every one.
        """

    def find_newest(self, *, upto: datetime) -> int | None:
        """When the newest event became known that was known by a moment [us]; None: there is none."""

    def forget(self, *, before: datetime) -> None:
        """Remove what became known before a moment."""

    def close(self) -> None:
        """End the connection."""


class SqliteLog:
    """A log in SQLite.

    Args:
        path: of the database, which is made where there is none; None: in memory alone.

    Raises:
        TreadleError: it is no such database, or cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()  # a connection has one transaction at a time
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path or ":memory:", check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # a power cut may take the last events, no kill does
            with self._database:
                self._database.execute(_MAKE)
                self._database.execute(_INDEX)
        except (sqlite3.Error, OSError) as error:
            raise TreadleError(f"{path}: the events cannot be recorded: {error}; name another file") from error

    def append(self, feed: str, rows: Sequence[Mapping[str, Any]], known_at: Sequence[int | None]) -> Appended:
        """One transaction."""
        pairs = zip(rows, known_at, strict=True)
        records = [(feed, moment, json.dumps(row)) for row, moment in pairs if moment is not None]
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN IMMEDIATE")  # of other processes none writes in between
                self._database.executemany("INSERT INTO events (feed, known_at, row) VALUES (?, ?, ?)", records)
                (last,) = self._database.execute("SELECT seq FROM sqlite_sequence").fetchone() or (0,)
        except sqlite3.Error as error:
            raise LogError(f"{self._path}: the events cannot be recorded: {error}") from error
        return Appended(Place(int(last) - len(records), ""), Place(int(last), ""))

    def read(self, *, after: Place, since: datetime | None = None) -> Iterator[Part]:
        """In parts, so that memory stays small."""
        moment = _EVER if since is None else to_physical(since)
        number = after.number
        try:
            while found := self._fetch(number, moment):
                yield from _part(found)
                number = found[-1][0]
        except sqlite3.Error as error:
            raise LogError(f"{self._path}: the events cannot be read: {error}") from error

    def _fetch(self, after: int, moment: int) -> list[tuple[int, str, str]]:
        with self._lock:
            return self._database.execute(_READ, (after, moment, PART)).fetchall()

    def find_newest(self, *, upto: datetime) -> int | None:
        """By the index."""
        query = "SELECT MAX(known_at) FROM events WHERE known_at <= ?"
        try:
            with self._lock:
                (found,) = self._database.execute(query, (to_physical(upto),)).fetchone()
        except sqlite3.Error as error:
            raise LogError(f"{self._path}: the events cannot be read: {error}") from error
        return None if found is None else int(found)

    def forget(self, *, before: datetime) -> None:
        """By the index."""
        try:
            with self._lock, self._database:
                self._database.execute("DELETE FROM events WHERE known_at < ?", (to_physical(before),))
        except sqlite3.Error as error:
            raise LogError(f"{self._path}: old events cannot be removed: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _part(records: Sequence[tuple[int, str, str]]) -> Iterator[Part]:
    for feed, found in groupby(records, key=lambda record: record[1]):
        own = list(found)
        yield Part(feed, [json.loads(row) for _, _, row in own], Place(own[-1][0], ""))
