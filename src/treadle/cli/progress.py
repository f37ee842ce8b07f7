"""A bar of the rows that are done, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def show_rows(*, done: int, total: int) -> Iterator[Callable[[int], None]]:
    """A function that takes the number of rows that are done; the bar stands on standard error while they are counted.

    Args:
        done: rows of an earlier time.
        total: all of them.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    counted = TextColumn("{task.completed:,}/{task.total:,} rows")
    columns = (BarColumn(), counted, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda count: bar.update(task, completed=count)
