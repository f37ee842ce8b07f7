"""Locks between processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

Notify = Callable[[str], None]  # prints a line of progress


@contextmanager
def hold_lock(path: Path, *, notify: Notify, what: str) -> Iterator[None]:
    """Hold a lock, after waiting for it if need be; the system releases it when the process ends, even if killed."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        notify(f"{what} is in use by another process; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold a lock unless another process holds it; yields whether it is held."""
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
