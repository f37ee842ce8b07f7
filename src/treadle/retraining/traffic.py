"""What reaches a server in a stretch of the past, in the order of time: events as they become known, rows to predict.

Rows whose past a server completes from events are sent as their table has them; others as whole examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from treadle.data.needed import find_needs, restrict_table
from treadle.data.unlabelled import Unlabelled, build_unlabelled
from treadle.experiment.spec import Data
from treadle.online.state import KEEP, State
from treadle.schema import KNOWN_AT, PREDICT_AT, ROW

HOUR = timedelta(hours=1)
_ROW, _MOMENT = "__row", "__moment"  # columns beside those that are sent


@dataclass(frozen=True)
class Delivery:
    """What reaches the server at once: the events before the rows; each counts from its own moment on all the same."""

    events: dict[str, list[dict[str, Any]]]  # by table
    rows: list[dict[str, Any]]
    numbers: list[int]  # ROW of each of them
    moments: list[datetime]  # of each prediction


@dataclass(frozen=True)
class Traffic:
    """The events and the rows of a stretch."""

    events: dict[str, pl.DataFrame]  # by table, in the order of their moments; none where rows bring their past
    questions: pl.DataFrame  # with their number, in the order of their moments
    reach: timedelta  # how far the questions look back, at most
    step: timedelta  # that a delivery covers: no longer than any window, within which a server keeps events for it

    def recall(self, first: datetime) -> dict[str, list[dict[str, Any]]]:
        """The events of before that questions from a moment on can see."""
        return {name: _cut(events, first - self.reach, first) for name, events in self.events.items()}

    def deliver(self, first: datetime, last: datetime) -> Iterator[Delivery]:
        """What comes from a moment on, before another one."""
        while first < last:
            end = min(first + self.step, last)
            asked = _take(self.questions, first, end)
            events = {name: _cut(events, first, end) for name, events in self.events.items()}
            yield Delivery(
                events, asked.drop(_ROW, _MOMENT).to_dicts(), asked[_ROW].to_list(), asked[_MOMENT].to_list()
            )
            first = end


def read_traffic(data: Data, *, first: datetime, last: datetime, root: Path, scratch: Path) -> Traffic:
    """What comes from a moment on, before another one.

    Args:
        data: of the experiment, whose examples have a moment of prediction.
        first: of the stretch.
        last: its end.
        root: the project.
        scratch: a folder for copies of the tables.

    Raises:
        TreadleError: a table is missing, or breaks its contract.
    """
    needs = find_needs(data)
    files = {name: data.tables[name].path for name in needs.columns}
    made = build_unlabelled(data, files=files, at=None, root=root, now=last, scratch=scratch)
    asked = made.rows.filter(pl.col(PREDICT_AT).is_between(first, last, closed="left")).sort(PREDICT_AT, ROW)
    state = State(data, needs.label_joins)
    if not state.looks or data.forecast is not None:
        return Traffic({}, _write_examples(made, asked), timedelta(), HOUR)
    reach = KEEP * state.longest
    specs = {
        name: restrict_table(data, name, needs, key=data.tables[name].key)
        for name in (*state.feeds, data.examples.table)
    }
    events = {}
    for name in state.feeds:
        table = made.tables[name].select(*specs[name].columns, pl.col(KNOWN_AT).alias(_MOMENT))
        wanted = table.filter(pl.col(_MOMENT).is_between(first - reach, last, closed="left"))
        events[name] = wanted.collect().sort(_MOMENT, maintain_order=True)
    columns = specs[data.examples.table].columns
    known = [name for name, column in columns.items() if not column.known_after_prediction]
    rows = made.columns.table.select(pl.col(ROW).alias(_ROW), *known).collect()[asked[ROW]]
    shortest = min(look.span for look in state.looks) * timedelta(microseconds=1)
    return Traffic(events, rows.with_columns(asked[PREDICT_AT].alias(_MOMENT)), reach, min(HOUR, shortest))


def _write_examples(made: Unlabelled, asked: pl.DataFrame) -> pl.DataFrame:
    roles = [asked[ROW].alias(_ROW), asked[PREDICT_AT].alias(_MOMENT)]
    return made.columns.add_to(asked.drop(PREDICT_AT)).drop(ROW).with_columns(roles)


def _cut(frame: pl.DataFrame, first: datetime, last: datetime) -> list[dict[str, Any]]:
    return _take(frame, first, last).drop(_MOMENT).to_dicts()


def _take(frame: pl.DataFrame, first: datetime, last: datetime) -> pl.DataFrame:
    """Its rows from a moment on, before another one."""
    begin, end = (int(frame[_MOMENT].search_sorted(moment, side="left")) for moment in (first, last))
    return frame.slice(begin, end - begin)
