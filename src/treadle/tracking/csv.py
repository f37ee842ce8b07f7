"""The record as tidy tables: `params.csv`, `metrics.csv` with a row for each value of each step, `summary.csv`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from treadle.disk import replacing
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import CsvTracker
from treadle.keys import list_leaves
from treadle.tracking.record import Place, Record, Recorded, State, SteppedRecord, has_record

_PARAMS, _METRICS, _SUMMARY = "params.csv", "metrics.csv", "summary.csv"
_STEPS = ("step", "name", "value")  # columns


@contextmanager
def open_record(run: Recorded, *, settings: CsvTracker) -> Iterator[Record]:  # noqa: ARG001 - it has none
    """Open the tables of a run; those of another training are begun anew.

    Each leaf of the configuration is a row of `params.csv`, a text as it is and anything else as JSON.
    """
    folder = run.folder.csv
    state = State(folder, signature=run.signature)
    metrics, summary = folder / _METRICS, folder / _SUMMARY
    held = [row for row in _read(metrics) if int(row["step"]) <= state.last_step] if state.resumed else []
    if not state.resumed:
        summary.unlink(missing_ok=True)
    state.keep()
    leaves = ((key, value if isinstance(value, str) else json.dumps(value)) for key, value in list_leaves(run.config))
    _write(folder / _PARAMS, [("key", "value"), *leaves])
    _write(metrics, [_STEPS, *(tuple(row[name] for name in _STEPS) for row in held)])
    yield _Tables(metrics, summary, state)


def is_asked_for_another(folder: RunFolder, *, settings: CsvTracker) -> bool:  # noqa: ARG001 - it has none
    """Whether there are no tables yet."""
    return not has_record(folder.csv)


def locate_record(folder: RunFolder, *, settings: CsvTracker) -> Place:  # noqa: ARG001 - it has none
    """The folder of the tables."""
    return Place("tables", str(folder.csv))


class _Tables(SteppedRecord):
    """The open tables."""

    def __init__(self, metrics: Path, summary: Path, state: State) -> None:
        super().__init__(state)
        self._metrics = metrics
        self._summary = summary

    def _write(self, values: Mapping[str, float], *, step: int) -> None:
        with self._metrics.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((step, name, repr(value)) for name, value in values.items())

    def summarize(self, values: Mapping[str, float]) -> None:
        held = {row["name"]: row["value"] for row in _read(self._summary)}
        _write(self._summary, [("name", "value"), *(held | {name: repr(v) for name, v in values.items()}).items()])

    def log_curve(self, *, name: str, x: str, y: str, rows: Sequence[Mapping[str, float]]) -> None:
        """The run's folder holds it as CSV already."""

    def log_page(self, html: str, *, name: str) -> None:
        """It keeps numbers; the run's folder holds its pages."""

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
