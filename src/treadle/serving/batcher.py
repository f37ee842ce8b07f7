"""Natural batching: what arrives while the model is busy is its next batch. A request alone waits for nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_REMEMBERED = 0.9  # share of the earlier costs in how long a row is expected to take


class FullError(Exception):
    """More rows wait than may; the client should ask again later."""


class LateError(Exception):
    """The answer took longer than a request may wait."""


class _Request(Generic[T]):
    def __init__(self, rows: Sequence[Any], future: asyncio.Future[Sequence[T]]) -> None:
        self.rows = rows
        self.future = future


class Batcher(Generic[T]):
    """Requests of rows, answered in batches by one thread.

    A request that is alone, and expected to be answered in a moment, is answered where it came: the way to another
    thread and back costs as much as a row.

    Args:
        score: an answer for each row; called in that thread, one batch at a time.
        batch_rows: rows of a batch, unless a single request has more.
        queue_rows: rows that may wait.
        seconds: that a request may wait [s].
        moment: time [s] for which everything else may stand still while a request alone is answered; 0
            where `score` may wait for others.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Any]], Sequence[T]],
        *,
        batch_rows: int,
        queue_rows: int,
        seconds: float,
        moment: float,
    ) -> None:
        self.score = score
        self._batch_rows = batch_rows
        self._queue_rows = queue_rows
        self._seconds = seconds
        self._moment = moment
        self._cost: float | None = None  # of a row [s]; None: not known yet
        self._waiting: deque[_Request[T]] = deque()
        self.num_waiting = 0  # rows
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._running: asyncio.Task[None] | None = None

    async def ask(self, rows: Sequence[Any]) -> Sequence[T]:
        """An answer for each row.

        Raises:
            FullError: more rows than may are waiting.
            LateError: there is no answer in time.
        """
        if self.num_waiting + len(rows) > self._queue_rows and self.num_waiting:
            raise FullError
        request = _Request[T](rows, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self.num_waiting += len(rows)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        try:
            return await asyncio.wait_for(request.future, self._seconds)
        except TimeoutError as error:
            raise LateError from error

    async def close(self) -> None:
        """Wait for what was accepted, then end the thread."""
        if self._running is not None:
            await self._running
        self._executor.shutdown()

    async def _run(self) -> None:
        try:
            while batch := self._take():
                await self._answer(batch, is_alone=len(batch) == 1)
        finally:
            self._running = None

    def _take(self) -> list[_Request[T]]:
        """The requests of the next batch; those that were given up are dropped."""
        batch: list[_Request[T]] = []
        num_rows = 0
        while self._waiting and (not batch or num_rows + len(self._waiting[0].rows) <= self._batch_rows):
            request = self._waiting.popleft()
            self.num_waiting -= len(request.rows)
            if not request.future.done():
                batch.append(request)
                num_rows += len(request.rows)
        return batch

    async def _answer(self, batch: Sequence[_Request[T]], *, is_alone: bool) -> None:
        rows = [row for request in batch for row in request.rows]
        try:
            if is_alone and not self._waiting and self._is_brief(rows):
                answers = self._measure(rows)
            else:
                answers = await asyncio.get_running_loop().run_in_executor(self._executor, self._measure, rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, each request hears of it
            if len(batch) > 1:
                for request in batch:
                    await self._answer([request], is_alone=False)  # it stands among others
            elif not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        start = 0
        for request in batch:
            if not request.future.done():
                request.future.set_result(answers[start : start + len(request.rows)])
            start += len(request.rows)

    def _is_brief(self, rows: Sequence[Any]) -> bool:
        return self._cost is not None and self._cost * len(rows) < self._moment

    def _measure(self, rows: Sequence[Any]) -> Sequence[T]:
        """The answers; how long they took is remembered."""
        begin = time.perf_counter()
        answers = self.score(rows)
        if rows:
            cost = (time.perf_counter() - begin) / len(rows)
            self._cost = cost if self._cost is None else _REMEMBERED * self._cost + (1 - _REMEMBERED) * cost
        return answers
