"""Locks between processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

Say = Callable[[str], None]  # takes a line of progress


@contextmanager
def claim(path: Path, *, say: Say, what: str) -> Iterator[None]:
    """Hold a lock; the system frees it when the process ends, however that is."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{what} is in use by another process; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def try_claim(path: Path) -> Iterator[bool]:
    """Hold a lock if nobody else does; gives whether it is held."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
