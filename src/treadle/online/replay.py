"""The proof that online and offline agree: events and questions of a data set in the order of their time, both ways."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from treadle.data.needed import restrict
from treadle.data.unlabelled import build_unlabelled, list_needs
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.online.state import Counts, State, list_columns_asked
from treadle.schema import KNOWN_AT, PREDICT_AT, ROW

BATCH = 4096  # events or questions that are read at once
_FEED = "__feed"


@dataclass(frozen=True)
class Difference:
    """The first row whose answers differ."""

    row: int
    column: str
    offline: object
    online: object

    def __str__(self) -> str:
        return f"row {self.row}: {self.column} is {self.offline!r} offline and {self.online!r} online"


@dataclass(frozen=True)
class Replay:
    """What was compared."""

    num_questions: int
    columns: list[str]
    counts: dict[str, Counts]
    seconds: float  # CPU time of the questions alone
    difference: Difference | None = None
    num_different: dict[str, int] = field(default_factory=dict)  # rows, by column


def replay(data: Data, *, files: Mapping[str, str], root: Path, now: datetime, scratch: Path) -> Replay:
    """Ask each example when its prediction was made, of the events that were known by then; compare with `prepare`.

    Arguments and errors as in `build_unlabelled`, without `at`; `data` must look back.
    """
    needs = list_needs(data, files)
    made = build_unlabelled(data, files=files, at=None, root=root, now=now, scratch=scratch)
    restricted = restrict(data, needs, files=files, root=root)
    state = State(restricted, needs.label_joins)
    if not state.looks:
        raise TreadleError("data.examples has no asof and no history: there is nothing to replay")
    offline = made.rows.sort(PREDICT_AT, maintain_order=True)
    columns = [name for look in state.looks for name in look.columns]
    tables = {name: made.tables[name].with_row_index("__position").collect() for name in state.feeds}
    events = _order_events(tables)
    asked = made.columns.table.select(list_columns_asked(state)).collect()
    online, seconds = _ask_all(state, tables, events, offline, asked)
    return _compare(offline, online, columns, state, seconds)


def _order_events(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Table and position of each event, in the order in which they become known."""
    parts = [frame.select(pl.lit(name).alias(_FEED), "__position", KNOWN_AT) for name, frame in tables.items()]
    return pl.concat(parts).drop_nulls().sort(KNOWN_AT, maintain_order=True)


def _ask_all(
    state: State,
    tables: Mapping[str, pl.DataFrame],
    events: pl.DataFrame,
    questions: pl.DataFrame,
    asked: pl.DataFrame,
) -> tuple[list[dict[str, Any]], float]:
    """The answer of each question; events are taken between two questions, as they become known.

    Those of one batch of questions are read together by Polars, and count from their own moments on all the same.
    """
    answers: list[dict[str, Any]] = []
    taken, seconds = 0, 0.0
    examples = asked[questions[ROW]]
    for start in range(0, len(questions), BATCH):
        part = questions.slice(start, BATCH)
        until = int(events[KNOWN_AT].search_sorted(part[PREDICT_AT][-1], side="right"))
        for (name,), group in events[taken:until].group_by(_FEED, maintain_order=True):
            state.add(str(name), tables[str(name)][group["__position"]].lazy())
        taken = until
        began = time.process_time()
        rows = zip(part[PREDICT_AT].to_list(), examples.slice(start, BATCH).iter_rows(named=True), strict=True)
        answers += [state.ask(at, example) for at, example in rows]
        seconds += time.process_time() - began
        state.forget(now=part[PREDICT_AT][-1])
    return answers, seconds


def _compare(
    offline: pl.DataFrame, online: list[dict[str, Any]], columns: list[str], state: State, seconds: float
) -> Replay:
    different: dict[str, int] = {}
    firsts: list[Difference] = []
    for name in columns:
        expected = offline[name]
        found = pl.Series(name, [answer[name] for answer in online], dtype=expected.dtype)
        places = expected.ne_missing(found).arg_true()
        if len(places):
            different[name] = len(places)
            place = places[0]
            firsts.append(Difference(offline[ROW][place], name, expected[place], found[place]))
    order = {row: place for place, row in enumerate(offline[ROW])} if firsts else {}
    first = min(firsts, key=lambda found: order[found.row], default=None)
    return Replay(len(offline), columns, state.counts, seconds, first, different)
