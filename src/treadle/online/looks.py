"""Look-backs of the examples, compiled to answer one question at a time from a store.

An entry's values come from the same expressions as the stage `prepare` uses, run by Polars when the event arrives. A
question then takes comparisons and one exact sum, which is rounded once, as there: so the answers are equal to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

import polars as pl

from treadle.data.lazy_frames import parse
from treadle.data.point_in_time import parse_aggregate, read_values
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import AsOf, Data, History
from treadle.online.stores import Entry, Identity, Key, Store
from treadle.schema import KNOWN_AT
from treadle.sql.expressions import split_aggregate

Answers = dict[str, object]


@dataclass(frozen=True)
class Look:
    """One declaration of `asof` or `history`."""

    name: str  # dotted: `asof.weather`
    table: str
    here: tuple[str, ...]  # keys in the example
    there: tuple[str, ...]  # the same in the table
    span: int  # within which, or the window [us]
    columns: Mapping[str, str]  # expressions, by name
    functions: Mapping[str, str]  # of a history: AVG, SUM or COUNT, by name; empty for an as-of lookup

    @classmethod
    def compile(cls, name: str, spec: AsOf | History) -> Look:
        """From the declaration."""
        is_history = isinstance(spec, History)
        span = parse_duration(spec.window if isinstance(spec, History) else spec.within)
        functions = {column: split_aggregate(text)[0] for column, text in spec.columns.items()} if is_history else {}
        return cls(
            name,
            spec.table,
            tuple(spec.by),
            tuple(spec.by.values()),
            span // timedelta(microseconds=1),
            spec.columns,
            functions,
        )

    def read_entries(self, events: pl.LazyFrame, identities: Sequence[tuple[Identity, ...]]) -> list[tuple[Key, Entry]]:
        """The entries of events that become known, numbered from 0, with their keys.

        Args:
            events: rows of the table with KNOWN_AT.
            identities: of each event.

        Raises:
            TreadleError: an expression fails for an event.
        """
        key = f"data.examples.{self.name}"
        if self.functions:
            parsed = {name: parse_aggregate(text, events, key=key)[1] for name, text in self.columns.items()}
        else:
            parsed = {name: parse(text, events, key=key) for name, text in self.columns.items()}
        values = read_values(events, parsed, key=key)
        if self.functions:
            values = values.select(pl.when(pl.all().is_finite()).then(pl.all()))
        moments = events.select(pl.col(KNOWN_AT).to_physical()).collect().to_series()
        keys = events.select(list(self.there)).collect().rows() if self.there else [()] * len(moments)
        rows = zip(moments, keys, values.rows(), identities, strict=True)
        return [
            (found, Entry(moment, place, own, row))
            for place, (moment, found, row, own) in enumerate(rows)
            if moment is not None and None not in found
        ]

    def answer(self, store: Store, at: int, example: Mapping[str, object], own: AbstractSet[Identity]) -> Answers:
        """The columns of one example.

        Args:
            store: that holds the entries.
            at: the moment of the prediction [us].
            example: its columns, the keys among them.
            own: identities of the rows that it is made of, which never count.
        """
        key = tuple(example[name] for name in self.here)
        if None in key:
            return self._aggregate([]) if self.functions else dict.fromkeys(self.columns)
        if self.functions:
            entries = store.window(self.name, key, after=at - self.span, upto=at)
            return self._aggregate([entry.values for entry in entries if own.isdisjoint(entry.identities)])
        newest = next((e for e in store.newest(self.name, key, upto=at) if own.isdisjoint(e.identities)), None)
        if newest is None or newest.known_at < at - self.span:
            return dict.fromkeys(self.columns)
        return dict(zip(self.columns, newest.values, strict=True))

    def _aggregate(self, rows: Sequence[Sequence[object]]) -> Answers:
        return {
            name: aggregate(function, [value for row in rows if isinstance(value := row[place], float)])
            for place, (name, function) in enumerate(self.functions.items())
        }


def compile_looks(data: Data) -> list[Look]:
    """Every look-back of the examples."""
    spec = data.examples
    asof = [Look.compile(f"asof.{name}", look) for name, look in spec.asof.items()]
    return asof + [Look.compile(f"history.{name}", look) for name, look in spec.history.items()]


def aggregate(function: str, values: Sequence[float]) -> float | None:
    """AVG, SUM or COUNT of finite values, as the stage `prepare` computes it."""
    if function == "COUNT":
        return float(len(values))
    if function == "AVG" and not values:
        return None
    total = _add_up(values)
    found = total / len(values) if function == "AVG" else total
    return found if math.isfinite(found) else None


def _add_up(values: Sequence[float]) -> float:
    """The exact sum, rounded once; infinite where it is too large."""
    try:
        return math.fsum(values)
    except OverflowError:  # on the way, if not at the end
        total = sum(map(Fraction, values))
    try:
        return float(total)
    except OverflowError:
        return math.inf
