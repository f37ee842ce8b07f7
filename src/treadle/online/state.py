"""The state of a server: events in, columns of the past out.

An event is a row of a table with `known_at`; it counts from that moment on, never sooner. Events that arrive after a
question about a later moment was answered are late: offline they would have counted. They are what differs between
online and offline, and are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from treadle.experiment.spec import Data, Join
from treadle.online.looks import Answers, Look, compile_looks
from treadle.online.stores import Entry, Identity, Key, MemoryStore, Store
from treadle.schema import KNOWN_AT

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone
_MICROSECOND = timedelta(microseconds=1)
KEEP = 2  # spans that an entry is kept for: one that questions see, one for questions about the past


@dataclass
class Counts:
    """Events of one table."""

    num_events: int = 0
    num_late: int = 0  # arrived after a question that they would have counted for
    num_unknown: int = 0  # without a moment: they never become known
    newest: int | None = None  # latest moment at which one of them becomes known [us]


class Prepared(NamedTuple):
    """Events of one table, computed, which a state has not taken yet."""

    table: str
    moments: pl.Series  # at which they become known [us]
    entries: list[tuple[str, Key, Entry]]  # of each look, numbered from 0


@dataclass
class State:
    """What is known of the tables that examples look back at."""

    data: Data
    label_joins: Sequence[Join] = ()  # of the examples' table, through which an example could see its label
    store: Store = field(default_factory=MemoryStore)
    counts: dict[str, Counts] = field(default_factory=dict)
    _asked_upto: int | None = None  # the latest moment of a question
    _next: int = 0  # number of the next event

    def __post_init__(self) -> None:
        self.looks: list[Look] = compile_looks(self.data)
        self.feeds = tuple(dict.fromkeys(look.table for look in self.looks))
        here = self.data.examples.table
        path = self.data.tables[here].path
        own = {name for name in self.feeds if self.data.tables[name].path == path}
        key = self.data.tables[here].key
        # Of each table, which of its columns name a row that an example is made of, and the columns of the example.
        self._names: list[tuple[str, Mapping[str, str]]] = [
            (table, dict(zip(key, key, strict=True))) for table in own if key
        ]
        self._names += [(join.table, join.by) for join in self.label_joins if join.table in self.feeds]

    @property
    def longest(self) -> timedelta:
        """How far back any question looks."""
        return max((look.span for look in self.looks), default=0) * _MICROSECOND

    def add(self, table: str, events: pl.LazyFrame) -> None:
        """`prepare` and `take`."""
        self.take(self.prepare(table, events))

    def prepare(self, table: str, events: pl.LazyFrame) -> Prepared:
        """Compute what is kept of events of a table; nothing is taken yet.

        Args:
            table: one of `feeds`.
            events: its rows with joined and derived columns and KNOWN_AT.

        Raises:
            TreadleError: an expression of a look-back fails for an event.
        """
        moments = events.select(pl.col(KNOWN_AT).to_physical()).collect().to_series()
        identities = self._identify_events(table, events, len(moments))
        entries = [
            (look.name, key, entry)
            for look in self.looks
            if look.table == table
            for key, entry in look.read_entries(events, identities)
        ]
        return Prepared(table, moments, entries)

    def take(self, events: Prepared) -> None:
        """Take events, in their order."""
        moments = events.moments
        for look, key, entry in events.entries:
            self.store.add(look, key, entry._replace(number=self._next + entry.number))
        self._next += len(moments)
        counts = self.counts.setdefault(events.table, Counts())
        counts.num_events += len(moments)
        counts.num_unknown += moments.null_count()
        counts.num_late += int(self.find_late(moments).sum())
        latest = [counts.newest, moments.max()]
        counts.newest = max((int(moment) for moment in latest if moment is not None), default=None)  # type: ignore[arg-type]

    def find_late(self, moments: pl.Series) -> pl.Series:
        """Which events a question has missed that was answered already.

        Args:
            moments: at which they become known [us].
        """
        if self._asked_upto is None:
            return pl.Series([False] * len(moments), dtype=pl.Boolean())
        return (moments <= self._asked_upto).fill_null(value=False)

    def list_identities(self, table: str) -> list[tuple[object, list[str]]]:
        """What names an event, as tags with columns: its key first, by which one that comes again replaces it."""
        key = self.data.tables[table].key
        named = [(place, list(c.values())) for place, (name, c) in enumerate(self._names) if name == table]
        return [*([("key", list(key))] if key else []), *named]

    def _identify_events(self, table: str, events: pl.LazyFrame, count: int) -> list[tuple[Identity, ...]]:
        found: list[list[Identity]] = [[] for _ in range(count)]
        for tag, columns in self.list_identities(table):
            rows = events.select(columns).collect().rows()
            for identities, row in zip(found, rows, strict=True):
                identities.append((tag, *row))
        return [tuple(identities) for identities in found]

    def ask(self, at: datetime, example: Mapping[str, object]) -> Answers:
        """The columns of the past of one example, with what is known by a moment.

        Args:
            at: the moment of the prediction.
            example: the columns of its own row, with all keys.
        """
        moment = to_physical(at)
        self._asked_upto = moment if self._asked_upto is None else max(self._asked_upto, moment)
        own = {(place, *(example.get(name) for name in columns)) for place, (_, columns) in enumerate(self._names)}
        answers: Answers = {}
        for look in self.looks:
            answers |= look.answer(self.store, moment, example, own)
        return answers

    def forget(self, *, now: datetime) -> None:
        """Remove what no question about the present or the recent past can see.

        The present is no later than the newest event that is known: a clock that jumps ahead removes nothing.
        """
        newest = [counts.newest for counts in self.counts.values() if counts.newest is not None]
        present = min([to_physical(now), *([max(newest)] if newest else [])])
        for look in self.looks:
            self.store.forget(look.name, before=present - KEEP * look.span)


def to_physical(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def list_columns_asked(state: State) -> Sequence[str]:
    """The columns of an example's own row that questions read."""
    keys = [name for look in state.looks for name in look.here]
    return list(dict.fromkeys([*keys, *(name for _, columns in state._names for name in columns)]))  # noqa: SLF001
