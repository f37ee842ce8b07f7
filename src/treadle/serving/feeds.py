"""The events of a server: their log, and a state for each bundle that looks back differently."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from treadle.bundle import Predictor
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Events
from treadle.online.feeds import Online, Taken
from treadle.online.log import EventLog, SqliteLog
from treadle.online.rows import RowsError
from treadle.online.state import EPOCH, Counts
from treadle.serving.event_program import compile_events
from treadle.serving.metrics import Metrics

LOGGER = logging.getLogger("treadle.serving")


class Given(NamedTuple):
    """Events of one request."""

    table: str
    rows: list[Any]


Outcome = Taken | TreadleError


class Feeds:
    """Opens the log of events, and the states that follow it.

    Args:
        spec: `serving.events`, with a store.
        name: of the model.
        root: the project, to which paths of tables are relative.
        now: the current time, in UTC without a zone.

    Raises:
        TreadleError: the log cannot be opened.
    """

    def __init__(self, spec: Events, *, name: str, root: Path, now: Callable[[], datetime]) -> None:
        self._spec, self._root, self._now = spec, root, now
        self._log = open_log(spec, name=name)
        self._scratch = TemporaryDirectory(prefix="treadle-events-")
        self._states: WeakValueDictionary[str, Online] = WeakValueDictionary()

    def follow(self, bundle: Predictor) -> Online | None:
        """The state of a bundle, made from the log; None: it looks at no past.

        Raises:
            TreadleError: a table that its events are joined with is missing.
        """
        data = bundle.recipe.data
        if not (data.examples.asof or data.examples.history):
            LOGGER.warning("serving.events: this bundle looks at no past (data.examples.asof, history): no feeds")
            return None
        key = data.model_dump_json()
        if (found := self._states.get(key)) is not None:
            return found
        files = {name: self._spec.tables.get(name, table.path) for name, table in data.tables.items()}
        scratch = Path(self._scratch.name) / str(len(list(Path(self._scratch.name).iterdir())))
        scratch.mkdir()
        try:
            online = Online(data, files=files, log=self._log, root=self._root, now=self._now(), scratch=scratch)
        except TreadleError as error:
            raise TreadleError(
                f"serving.events: {error}; +serving.events.tables.NAME=FILE names another file"
            ) from error
        for table, reason in compile_events(online).items():
            LOGGER.warning("events of %s go through Polars, which takes longer: %s", table, reason)
        if online.num_refused:
            LOGGER.warning(
                "%d events of the log break the contract of this bundle, and are left out", online.num_refused
            )
        self._states[key] = online
        return online

    def tidy(self) -> None:
        """Forget what no question can see."""
        for online in list(self._states.values()):
            online.forget(now=self._now(), keep=parse_duration(self._spec.keep))

    def close(self) -> None:
        """End the connection to the log."""
        self._log.close()
        self._scratch.cleanup()


def open_log(spec: Events, *, name: str) -> EventLog:
    """The log of `serving.events`.

    Raises:
        TreadleError: it cannot be opened, or the extra is not installed.
    """
    if spec.store != "redis":
        return SqliteLog(None if spec.store == "memory" else Path(spec.path))
    try:
        from treadle.online.redis_log import RedisLog
    except ImportError as error:
        fix = "`pip install 'treadle[redis]'`"
        raise TreadleError(f"serving.events.store=redis needs redis, which is not installed: {fix}") from error
    return RedisLog(spec.url, name=name)


def take_events(
    online: Online, requests: Sequence[Given], *, model: str, metrics: Metrics, now: datetime
) -> list[Outcome]:
    """Take the events of each request, all of them or none; those that follow each other for one table at once."""
    outcomes: list[Outcome] = []
    for table, group in groupby(requests, key=lambda given: given.table):
        parts = [given.rows for given in group]
        found = _take(online, table, parts, now=now)
        for part, outcome in zip(parts, found, strict=True):
            _count(metrics, model, table, len(part), outcome)
        outcomes += found
        newest = online.state.counts[table].newest if table in online.state.counts else None
        if newest is not None:
            metrics.note_newest_event(model, table, seconds=newest / 1e6)
    return outcomes


def _take(online: Online, table: str, parts: list[list[Any]], *, now: datetime) -> list[Outcome]:
    """Where one of several requests breaks the contract, each is taken by itself."""
    try:
        return list(online.add(table, parts, now=now))
    except RowsError as error:
        if len(parts) == 1:
            return [error]
        return [outcome for part in parts for outcome in _take(online, table, [part], now=now)]
    except TreadleError as error:  # raised, it would have the batch asked again, and what was taken before taken twice
        return [error for _ in parts]


def _count(metrics: Metrics, model: str, table: str, num_rows: int, outcome: Outcome) -> None:
    if isinstance(outcome, RowsError):
        metrics.count_events(model, table, "refused", num_rows)
    elif isinstance(outcome, Taken):
        metrics.count_events(model, table, "taken", outcome.num_events)
        metrics.count_events(model, table, "late", outcome.num_late)
        metrics.count_events(model, table, "never_known", outcome.num_unknown)


def describe_feeds(online: Online) -> dict[str, dict[str, Any]]:
    """How many events each feed has had, and when the newest of them became known."""
    counts = {name: online.state.counts.get(name, Counts()) for name in online.state.feeds}
    return {
        name: {
            "events": found.num_events,
            "late": found.num_late,
            "never_known": found.num_unknown,
            "newest": None if found.newest is None else (EPOCH + timedelta(microseconds=found.newest)).isoformat(),
        }
        for name, found in counts.items()
    }


def read_clock() -> datetime:
    """The current time, in UTC without a zone, as tables are."""
    return datetime.now(UTC).replace(tzinfo=None)
