"""Natural batching: what arrives while the model is busy is its next batch. A request alone waits for nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")


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

    Args:
        score: an answer for each row; called in that thread, one batch at a time.
        batch_rows: rows of a batch, unless a single request has more.
        queue_rows: rows that may wait.
        seconds: that a request may wait [s].
    """

    def __init__(
        self, score: Callable[[Sequence[Any]], Sequence[T]], *, batch_rows: int, queue_rows: int, seconds: float
    ) -> None:
        self.score = score
        self._batch_rows = batch_rows
        self._queue_rows = queue_rows
        self._seconds = seconds
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
                await self._answer(batch)
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

    async def _answer(self, batch: Sequence[_Request[T]]) -> None:
        rows = [row for request in batch for row in request.rows]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._executor, self.score, rows)
        except Exception as error:  # noqa: BLE001 - whatever it is, each request hears of it
            if len(batch) > 1:
                for request in batch:
                    await self._answer([request])
            elif not batch[0].future.done():
                batch[0].future.set_exception(error)
            return
        start = 0
        for request in batch:
            if not request.future.done():
                request.future.set_result(answers[start : start + len(request.rows)])
            start += len(request.rows)
