"""A challenger beside the answer, never in its way: a bounded queue, a process of its own, and a log beside the log.

What does not fit into the queue is dropped and counted. A challenger that raises, hangs or dies is counted, ended where
it must be, and started again after a time that doubles.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from treadle.errors import TreadleError
from treadle.experiment.spec import Shadow as Spec
from treadle.serving.challenger import Answered, Batch, Challenger, Failed, Ready
from treadle.serving.log import PredictionLog, Record
from treadle.serving.metrics import Metrics

START_S = 120.0  # until a challenger is loaded
CLOSE_S = 5.0  # that a server that ends waits for it
WAIT_S = 0.5  # between two looks whether the server ends
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # before a challenger that has died starts again
_ENDED = (EOFError, OSError)  # of a connection whose process is gone

LOGGER = logging.getLogger("treadle.serving")


class Asked(NamedTuple):
    """A row that was answered."""

    id: str
    row: Mapping[str, Any]
    moment: datetime


class Shadow:
    """Asks a challenger what the server has answered.

    Args:
        find: the digest of the challenger's bundle, and what its process is told; None: there is none now.
        open_log: a log for a challenger's outputs.
        spec: `serving.shadow`.
        batch_rows: rows that it is asked at once.
        model: name of the model.
        metrics: where rows are counted.
    """

    def __init__(
        self,
        *,
        find: Callable[[], tuple[str, Challenger] | None],
        open_log: Callable[[Mapping[str, Any]], PredictionLog | None],
        spec: Spec,
        batch_rows: int,
        model: str,
        metrics: Metrics,
    ) -> None:
        self._find, self._open_log = find, open_log
        self._batch_rows, self._seconds = batch_rows, spec.seconds
        self._model, self._metrics = model, metrics
        self._queue: queue.Queue[Asked] = queue.Queue(spec.queue)
        self._wanted: frozenset[str] | None = None  # None: there is no challenger that could answer
        self._closing = threading.Event()
        self._changed = threading.Event()
        self.log: PredictionLog | None = None
        self.digest: str | None = None  # of the challenger that answers
        self.fault: str | None = None  # why it does not
        self._process: BaseProcess | None = None
        self._thread = threading.Thread(target=self._live, name="shadow", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether there is a challenger that is asked."""
        return self._wanted is not None

    @property
    def process_id(self) -> int | None:
        """Of its process."""
        return None if self._process is None else self._process.pid

    def offer(self, asked: Sequence[Asked]) -> None:
        """Ask it, too, if there is room; this never waits."""
        wanted, digest = self._wanted, self.digest
        if wanted is None or digest is None:
            return
        for one in asked:
            try:
                row = {key: one.row[key] for key in wanted if key in one.row}
                self._queue.put_nowait(one._replace(row=row))
            except queue.Full:
                self._metrics.count_shadow(self._model, digest[:12], "dropped", 1)

    def look(self) -> None:
        """Follow the reference: another challenger takes its place, or none."""
        with contextlib.suppress(TreadleError, OSError):
            found = self._find()
            if self.digest is not None and (None if found is None else found[0]) != self.digest:
                self._changed.set()

    def close(self) -> None:
        """End the process, even one that hangs; its log is left to be closed."""
        self._closing.set()
        if self._process is not None:
            self._process.kill()
        self._thread.join(timeout=CLOSE_S)

    # --- in its thread

    def _live(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._closing.is_set():
            began, is_idle = time.monotonic(), False
            try:
                is_idle = not self._serve_one()
            except Exception as error:  # noqa: BLE001 - the server goes on
                self._note(f"{type(error).__name__}: {error}")
            self._wanted = None
            if self._changed.is_set():  # another one, at once
                self._changed.clear()
                continue
            rested = is_idle or time.monotonic() - began > LONGEST_PAUSE_S
            pause = FIRST_PAUSE_S if rested else min(2 * pause, LONGEST_PAUSE_S)
            self._closing.wait(pause)

    def _note(self, fault: str) -> None:
        if self._closing.is_set():  # it was ended
            return
        if fault != self.fault:
            LOGGER.error("the shadow does not answer: %s", fault)
        self.fault = fault

    def _serve_one(self) -> bool:
        """One life of a challenger; whether there is one."""
        found = self._find()
        if found is None:
            self.digest = self.fault = None
            return False
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")  # a fork would copy locks of threads
        process = context.Process(target=found[1].run, args=(there,), name="treadle-shadow", daemon=True)
        process.start()
        self._process = process
        there.close()
        try:
            self._exchange_all(here, process)
            return True
        finally:
            process.kill()
            process.join()
            here.close()

    def _exchange_all(self, connection: Connection, process: BaseProcess) -> None:
        ready = self._receive(connection, process, seconds=START_S)
        if not isinstance(ready, Ready):
            self._note(ready.error if isinstance(ready, Failed) else "its process ended before it was loaded")
            return
        self._open(ready)
        while not self._closing.is_set() and not self._changed.is_set():
            if (batch := self._take()) and not self._ask(connection, process, batch, ready.digest):
                return

    def _open(self, ready: Ready) -> None:
        if self.log is not None and self.digest != ready.digest:
            self.log.close(now=datetime.now(UTC))
            self.log = None
        if self.log is None:
            self.log = self._open_log(ready.outputs)
        self.digest, self.fault, self._wanted = ready.digest, None, ready.wanted
        LOGGER.warning("the bundle %s answers in the shadow", ready.digest[:12])

    def _take(self) -> list[Asked]:
        """What waits, up to a batch; empty after `WAIT_S`."""
        batch: list[Asked] = []
        with contextlib.suppress(queue.Empty):
            batch.append(self._queue.get(timeout=WAIT_S))
            while len(batch) < self._batch_rows:
                batch.append(self._queue.get_nowait())
        return batch

    def _ask(self, connection: Connection, process: BaseProcess, batch: Sequence[Asked], digest: str) -> bool:
        """Whether the process lives on."""
        timer = threading.Timer(self._seconds, process.kill)  # a send to a process that hangs would wait, too
        timer.start()
        try:
            connection.send(Batch([asked.row for asked in batch], [asked.moment for asked in batch]))
            answer = connection.recv()
        except _ENDED:
            hung = not timer.is_alive()
            self._metrics.count_shadow(self._model, digest[:12], "late" if hung else "lost", len(batch))
            self._note(f"it took longer than {self._seconds:g} s" if hung else "its process died")
            return False
        finally:
            timer.cancel()
        if isinstance(answer, Answered):
            self.fault = None
            record_answers(
                batch,
                answer.predictions,
                digest=digest,
                seconds=answer.seconds,
                log=self.log,
                model=self._model,
                metrics=self._metrics,
            )
        else:
            self._metrics.count_shadow(self._model, digest[:12], "failed", len(batch))
            self._note(answer.error)
        return True

    def _receive(self, connection: Connection, process: BaseProcess, *, seconds: float) -> Any:
        """What it says first; None: nothing in time, or its process ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._closing.is_set():
            try:
                if connection.poll(WAIT_S):
                    return connection.recv()
            except _ENDED:
                return None
            if not process.is_alive() and not connection.poll():
                return None
        return None


def record_answers(
    asked: Sequence[Asked],
    predictions: Sequence[Mapping[str, Any] | None],
    *,
    digest: str,
    seconds: float,
    log: PredictionLog | None,
    model: str,
    metrics: Metrics,
) -> None:
    """Record and count what a challenger has answered.

    Args:
        asked: the rows.
        predictions: of each row; None: it has none.
        digest: of the challenger's bundle.
        seconds: that it took for all of them.
        log: for its outputs.
        model: name of the model.
        metrics: where rows are counted.
    """
    pairs = [(one, found) for one, found in zip(asked, predictions, strict=True) if found is not None]
    if log is not None:
        for one, prediction in pairs:
            log.add(Record(one.id, one.moment, digest, seconds * 1_000 / len(asked), (), prediction))
    metrics.count_shadow(model, digest[:12], "answered", len(pairs))
    metrics.count_shadow(model, digest[:12], "refused", len(asked) - len(pairs))
