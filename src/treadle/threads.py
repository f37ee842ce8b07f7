"""Threads for work that releases the interpreter's lock, as the libraries below do."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


NUM_THREADS = min(count_cores(), 4)  # more would hold more in memory; the libraries below have their own


def map_ahead(function: Callable[[A], B], items: Iterable[A], *, num_threads: int = NUM_THREADS) -> Iterator[B]:
    """As `map` and in its order, computing some results ahead of the one that is read.

    At most one item per thread is computed or waits to be read, so memory does not grow with the sequence. A single
    item uses no thread. Not for serving rows: starting a pool takes longer than predicting them.
    """
    rest = iter(items)
    first = list(islice(rest, 2))
    if len(first) < 2:  # noqa: PLR2004 - one or none
        yield from map(function, first)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for item in chain(first, rest):
            waiting.append(pool.submit(function, item))
            if len(waiting) > num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
