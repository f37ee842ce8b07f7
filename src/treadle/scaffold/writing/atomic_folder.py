"""A folder that appears whole, or not at all."""

from __future__ import annotations

import glob
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = ".lock"  # in a folder that is being made


@contextmanager
def create_atomically(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one; it takes that name when all has succeeded."""
    prefix = f".{folder.name}.treadle-init-"
    _delete_leftovers(folder.parent, prefix)
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        with _end_by_exception(), FileLock(made / _LOCK):
            made.chmod(0o755)
            yield made
            (made / _LOCK).unlink()
            made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _delete_leftovers(parent: Path, prefix: str) -> None:
    """Delete what a killed init of this name left behind: nobody holds its lock."""
    for left in parent.glob(f"{glob.escape(prefix)}*"):
        with suppress(Timeout, OSError), FileLock(left / _LOCK, timeout=0):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _end_by_exception() -> Iterator[None]:
    """Let the signals that end a process raise an exception, so that the unfinished folder is deleted."""
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():  # Python sets handlers in the main thread alone
        signals = []
    before = {number: signal.signal(number, lambda got, _: sys.exit(128 + got)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
