"""A comparison as a table in a terminal and as an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from treadle.console import Console
from treadle.disk import write_text
from treadle.experiment.run_folder import RunFolder
from treadle.metrics.registry import Metric, write_score
from treadle.runs.compare import Comparison, Ranked, write_value

_LABEL_WIDTH = 24  # columns of a terminal that the labels have at least
_PADDING = 3  # of a column of a table: two blanks and a line


def print_comparison(comparison: Comparison, console: Console) -> None:
    """One row a run, the best by the monitored metric first; as many test metrics as the width holds."""
    monitor, shown = comparison.monitor, _fit_metrics(comparison, console.width)
    caption = f"sorted by {monitor.title} on valid; the other metrics are of the test split, the best marked *"
    table = Table(caption=caption, caption_justify="left")
    table.add_column("run", no_wrap=True)
    table.add_column("what differs", overflow="fold", min_width=_LABEL_WIDTH)
    for title, values in _list_columns(comparison, shown):
        table.add_column(title, justify="right", width=_measure(title, values) - _PADDING)
    best = {metric: comparison.find_best(metric) for metric in shown}
    for ranked in comparison.runs:
        cells = [_mark(ranked.run.metrics.get(metric.name), best[metric]) for metric in shown]
        table.add_row(escape(ranked.run.name), escape(ranked.label), write_score(ranked.score), *cells)
    console.print(table)
    if left_out := [metric.title for metric in comparison.metrics if metric not in shown]:
        console.print(f"not shown, for want of width: {', '.join(left_out)}; --html FILE shows all", highlight=False)


def _fit_metrics(comparison: Comparison, width: int) -> list[Metric]:
    """The first metrics for which there is room beside the names and the labels."""
    names = max(len(ranked.run.name) for ranked in comparison.runs)
    room = width - names - _LABEL_WIDTH - 2 * _PADDING - 1
    widths = [_measure(*column) for column in _list_columns(comparison, comparison.metrics)]
    fitting = sum(sum(widths[: count + 1]) <= room for count in range(1, len(widths)))
    return comparison.metrics[: max(1, fitting)]


def _list_columns(comparison: Comparison, metrics: Sequence[Metric]) -> Iterator[tuple[str, list[float | None]]]:
    """Title and values of each column of numbers: the monitored metric, then those of the test split."""
    yield _head(comparison.monitor, "valid "), [ranked.score for ranked in comparison.runs]
    for metric in metrics:
        yield _head(metric), [ranked.run.metrics.get(metric.name) for ranked in comparison.runs]


def _measure(head: str, values: Sequence[float | None]) -> int:
    """Width of a column of numbers: heads break between words."""
    return max(len(word) for word in [*head.split(" "), *(f"{write_score(value)} *" for value in values)]) + _PADDING


def _head(metric: Metric, prefix: str = "") -> str:
    return f"{prefix}{metric.title} {'↑' if metric.higher_is_better else '↓'}"


def _mark(value: float | None, best: float | None) -> str:
    return f"[bold green]{write_score(value)} *[/]" if value is not None and value == best else write_score(value)


def write_page(comparison: Comparison, path: Path) -> None:
    """One self-contained HTML page: the runs with all metrics, what differs, and the curves of all runs."""
    from treadle.pages.render import render_page  # jinja2 and matplotlib only for a page

    metrics = comparison.metrics
    best = {metric: comparison.find_best(metric) for metric in metrics}
    rows = [
        {
            "name": ranked.run.name,
            "label": ranked.label,
            "score": write_score(ranked.score),
            "cells": [_make_cell(ranked.run.metrics.get(metric.name), best[metric]) for metric in metrics],
            "values": [write_value(values[index]) for values in comparison.differences.values()],
        }
        for index, ranked in enumerate(comparison.runs)
    ]
    page = render_page(
        "compare.html.jinja",
        rows=rows,
        monitor=_head(comparison.monitor, "valid "),
        metrics=[_head(metric) for metric in metrics],
        keys=list(comparison.differences),
        charts=[*_draw_learning(comparison.runs), *_draw_curves(comparison.runs)],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def _make_cell(value: float | None, best: float | None) -> dict[str, Any]:
    return {"text": write_score(value), "best": value is not None and value == best}


def _draw_learning(ranked: list[Ranked]) -> list[str]:
    """A chart for each value that training recorded: one line a run, the epoch that was kept marked."""
    from treadle.pages.charts import Line, draw_chart

    runs = [each.run for each in ranked if each.run.history]
    columns = dict.fromkeys(column for run in runs for column in run.history[0])
    charts = []
    for name in (column for column in columns if column.startswith(("train/", "valid/"))):
        drawn = [run for run in runs if name in run.history[0]]
        lines = [
            Line(
                run.name,
                [row["epoch"] for row in run.history],
                [row[name] for row in run.history],
                marked=run.best_epoch.get("epoch"),
            )
            for run in drawn
        ]
        charts.append(draw_chart(title=name, x="epoch", y=name, lines=lines))
    return charts


def _draw_curves(ranked: list[Ranked]) -> list[str]:
    from treadle.evaluation.curves import KINDS, read_curves
    from treadle.pages.charts import Line, draw_chart

    found = {each.run.name: {c.name: c for c in read_curves(RunFolder(each.run.folder).plots)} for each in ranked}
    charts = []
    for name, kind in KINDS.items():
        lines = [
            Line(who, [row[kind.x] for row in curves[name].rows], [row[kind.y] for row in curves[name].rows])
            for who, curves in found.items()
            if name in curves
        ]
        if lines:
            charts.append(draw_chart(title=kind.title, x=kind.x, y=kind.y, lines=lines, diagonal=kind.diagonal))
    return charts
