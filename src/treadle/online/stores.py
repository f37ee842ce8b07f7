"""Stores of entries: what is known of each key of a look-back, in the order in which it became known."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Key = tuple[object, ...]
Identity = tuple[object, ...]  # a table's name and a key that names one of its rows


class Entry(NamedTuple):
    """One event, as one look-back sees it; entries compare by the first two, which are unique."""

    known_at: int  # microseconds since 1970
    number: int  # in the order of arrival
    identities: tuple[Identity, ...]  # its key, and those that an example's own row may have
    values: tuple[object, ...]


class Store(Protocol):
    """Where entries are kept."""

    def add(self, look: str, key: Key, entry: Entry) -> None:
        """Add an entry; one of the same first identity takes the place of the earlier one."""

    def window(self, look: str, key: Key, *, after: int, upto: int) -> Sequence[Entry]:
        """The entries that became known after a moment, up to another one, in that order."""

    def newest(self, look: str, key: Key, *, upto: int) -> Iterator[Entry]:
        """The entries that were known by a moment, the newest first."""

    def forget(self, look: str, *, before: int) -> None:
        """Remove what became known before a moment."""


@dataclass
class MemoryStore:
    """Sorted lists in memory: a question is answered by bisection."""

    _entries: dict[tuple[str, Key], list[Entry]] = field(default_factory=dict)
    _places: dict[tuple[str, Identity], tuple[Key, Entry]] = field(default_factory=dict)

    def add(self, look: str, key: Key, entry: Entry) -> None:
        """Mostly at the end of its list."""
        if entry.identities:
            place = look, entry.identities[0]
            if place in self._places:
                self._remove(look, *self._places[place])
            self._places[place] = key, entry
        insort(self._entries.setdefault((look, key), []), entry, key=_order)

    def _remove(self, look: str, key: Key, entry: Entry) -> None:
        entries = self._entries[look, key]
        del entries[bisect_left(entries, _order(entry), key=_order)]

    def window(self, look: str, key: Key, *, after: int, upto: int) -> Sequence[Entry]:
        """Two bisections."""
        entries = self._entries.get((look, key), [])
        return entries[bisect_right(entries, after, key=_when) : bisect_right(entries, upto, key=_when)]

    def newest(self, look: str, key: Key, *, upto: int) -> Iterator[Entry]:
        """One bisection."""
        entries = self._entries.get((look, key), [])
        return (entries[place] for place in range(bisect_right(entries, upto, key=_when) - 1, -1, -1))

    def forget(self, look: str, *, before: int) -> None:
        """Cut off the beginning of each list."""
        for (name, key), entries in list(self._entries.items()):
            if name != look:
                continue
            old = bisect_left(entries, before, key=_when)
            for entry in entries[:old]:
                if entry.identities:
                    self._places.pop((look, entry.identities[0]), None)
            del entries[:old]
            if not entries:
                del self._entries[name, key]


def _order(entry: Entry) -> tuple[int, int]:
    return entry.known_at, entry.number


def _when(entry: Entry) -> int:
    return entry.known_at
