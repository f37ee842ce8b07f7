"""The record as tidy tables: `params.csv`, `metrics.csv` with a row for each value of each step, `summary.csv`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from treadle.disk import replacing
from treadle.keys import list_leaves
from treadle.tracking.record import Record, State

_PARAMS, _METRICS, _SUMMARY = "params.csv", "metrics.csv", "summary.csv"
_STEPS = ("step", "name", "value")  # columns


@contextmanager
def open_tables(folder: Path, *, signature: str, config: dict[str, Any]) -> Iterator[Record]:
    """Open the tables in a folder; those of another training are begun anew.

    Args:
        folder: of the tables.
        signature: of what is being trained.
        config: plain values; each leaf is a row of `params.csv`, a text as it is and anything else as JSON.
    """
    state = State(folder, signature=signature)
    metrics, summary = folder / _METRICS, folder / _SUMMARY
    held = [row for row in _read(metrics) if int(row["step"]) <= state.last_step] if state.resumed else []
    if not state.resumed:
        summary.unlink(missing_ok=True)
    state.keep()
    leaves = ((key, value if isinstance(value, str) else json.dumps(value)) for key, value in list_leaves(config))
    _write(folder / _PARAMS, [("key", "value"), *leaves])
    _write(metrics, [_STEPS, *(tuple(row[name] for name in _STEPS) for row in held)])
    yield _Tables(metrics, summary, state)


class _Tables:
    """The open tables; each step is written at once."""

    def __init__(self, metrics: Path, summary: Path, state: State) -> None:
        self._metrics = metrics
        self._summary = summary
        self._state = state

    @property
    def last_step(self) -> int:
        return self._state.last_step

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        if step <= self.last_step:
            return
        with self._metrics.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((step, name, repr(value)) for name, value in values.items())
        self._state.keep(last_step=step)

    def summarize(self, values: Mapping[str, float]) -> None:
        held = {row["name"]: row["value"] for row in _read(self._summary)}
        _write(self._summary, [("name", "value"), *(held | {name: repr(v) for name, v in values.items()}).items()])

    def log_curve(self, *, name: str, x: str, y: str, rows: Sequence[Mapping[str, float]]) -> None:
        """The run's folder holds it as CSV already."""

    def log_bundle(self, folder: Path, *, name: str) -> None:
        """The run's folder holds it already."""


def _read(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _write(file: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
