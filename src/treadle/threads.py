"""Work on several things at a time, where the libraries below let go of the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
NUM_THREADS = min(os.cpu_count() or 1, 8)


def map_ahead(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """As `map` and in its order, some results ahead of the one that is asked for.

    No more than one result a thread waits, so that long sequences need no memory; a single item needs no thread.
    """
    rest = iter(items)
    first = list(islice(rest, 2))
    if len(first) < 2:  # noqa: PLR2004 - one or none
        yield from map(function, first)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for item in chain(first, rest):
            waiting.append(pool.submit(function, item))
            if len(waiting) > NUM_THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
