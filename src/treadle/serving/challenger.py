"""The process of a shadow: a challenger that answers what the server has answered, and nothing waits for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import polars as pl

    from treadle.experiment.spec import Events
    from treadle.serving.service import Source

NICENESS = 10  # so that the server comes first
TIDY_S = 60.0  # between two times that old events are forgotten


class Ready(NamedTuple):
    """It is loaded."""

    digest: str
    outputs: Mapping[str, pl.DataType]
    wanted: frozenset[str]  # keys of a row that it reads


class Failed(NamedTuple):
    """It was not loaded, or has raised."""

    error: str


class Answered(NamedTuple):
    """For each row a prediction, or None where it has none."""

    predictions: Sequence[Mapping[str, Any] | None]
    seconds: float


class Batch(NamedTuple):
    """Rows that were answered, and when each was."""

    rows: Sequence[Mapping[str, Any]]
    moments: Sequence[datetime]


@dataclass(frozen=True)
class Challenger:
    """What the process is told when it starts."""

    source: Source
    events: Events
    name: str  # of the model

    def run(self, connection: Connection) -> None:
        """Be the process: give way to the server, which ends it."""
        import torch

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(os, "nice"):  # Windows has none
            os.nice(NICENESS)
        torch.set_num_threads(1)
        self.answer(connection)

    def answer(self, connection: Connection) -> None:
        """Answer batches until the server is gone."""
        try:
            answerer, ready = self._load()
        except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on and tells it
            connection.send(Failed(f"{type(error).__name__}: {error}"))
            return
        connection.send(ready)
        tidied = time.monotonic()
        while True:
            try:
                batch = connection.recv()
            except EOFError:
                return
            try:
                began = time.perf_counter()
                answers = answerer.ask(batch.rows, moments=batch.moments)
                connection.send(Answered([answer.prediction for answer in answers], time.perf_counter() - began))
            except Exception as error:  # noqa: BLE001 - as above
                connection.send(Failed(f"{type(error).__name__}: {error}"))
            if answerer.online is not None and time.monotonic() > tidied + TIDY_S:
                tidied = time.monotonic()
                answerer.online.forget(now=min(batch.moments), keep=None)

    def _load(self) -> tuple[Any, Ready]:
        from treadle.bundle import load
        from treadle.champions.bundles import digest_bundle
        from treadle.serving.answering import Answerer
        from treadle.serving.feeds import Feeds, read_clock

        folder = self.source.find()
        digest = digest_bundle(folder)
        bundle = load(folder, targets=self.source.targets, code=self.source.code)
        root, has_events = self.source.root, self.events.store is not None
        feeds = Feeds(self.events, name=self.name, root=root, now=read_clock) if has_events else None
        online = None if feeds is None else feeds.follow(bundle)
        answerer = Answerer(bundle, online=online)
        wanted = {key for name, column in bundle.columns.items() for key in (name, column.name_in_file(name))}
        if online is not None:
            wanted |= set(online.row_columns)
        return answerer, Ready(digest, answerer.scorer.outputs, frozenset(wanted))
