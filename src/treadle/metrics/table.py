"""Metrics of models or runs side by side, as text with the best marked, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from treadle.metrics.registry import Metric, write_score


@dataclass(frozen=True)
class Cell:
    """One value of a metric."""

    text: str
    best: bool

    def to_markup(self, mark: str = "") -> str:
        """For a terminal: the best in green, and with a mark that needs no colour."""
        return f"[bold green]{self.text}{mark}[/]" if self.best else self.text


@dataclass(frozen=True)
class Scores:
    """One metric of all that are compared: a row of a table, or a column."""

    title: str  # with an arrow: up where more is better
    cells: tuple[Cell, ...]


def write_scores(metric: Metric, values: Iterable[float | None], *, mark_best: bool, prefix: str = "") -> Scores:
    """The values of one metric as text; `prefix` stands before the metric's title."""
    known = list(values)
    best = metric.find_best(known) if mark_best else None
    cells = tuple(Cell(write_score(value), best=best is not None and value == best) for value in known)
    arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
    return Scores(f"{prefix}{metric.title}{arrow}", cells)


@dataclass(frozen=True)
class ScoreTable:
    """The metrics of a task as rows, the model and its baselines as columns."""

    columns: list[str]
    rows: list[Scores]


def tabulate(results: Mapping[str, Mapping[str, float | None]], *, metrics: Iterable[Metric]) -> ScoreTable:
    """Tabulate results by name and metric."""
    rows = [
        write_scores(metric, (values[metric.name] for values in results.values()), mark_best=True) for metric in metrics
    ]
    return ScoreTable([name.replace("_", " ") for name in results], rows)
