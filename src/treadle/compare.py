"""Compare runs: what differs in the configuration, apart from what differs in the metrics."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from treadle.experiment import resolved
from treadle.experiment.changes import list_leaves
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import CODE
from treadle.schema import METRICS, Metric, TreadleError

Flat = dict[str, Any]  # dotted key: value


@dataclass(frozen=True)
class Finished:
    """What a finished run left."""

    folder: Path
    experiment: Experiment
    values: Flat  # every leaf of the configuration; lists are leaves
    metrics: dict[str, float | None]  # of the model, on the test split
    history: list[dict[str, float]]  # one row an epoch

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """The finished runs among folders; of a folder that is none itself, those directly below it."""
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise TreadleError(f"no folder {folder}; `treadle run` makes runs, under runs/")
        inside = [folder] if (folder / resolved.FILE).is_file() else sorted(p for p in folder.iterdir() if p.is_dir())
        found += [p for p in inside if (p / "evaluation" / "metrics.json").is_file()]
    return list(dict.fromkeys(found))


def read_run(folder: Path) -> Finished:
    """Read a run folder; no library of training is needed for it."""
    experiment, values = resolved.read(folder / resolved.FILE)
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))["model"]
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    leaves = {key: value for key, value in list_leaves(values) if not key.startswith(f"{CODE}.") and key != "name"}
    return Finished(folder.resolve(), experiment, leaves, metrics, history)


def list_differences(runs: Sequence[Finished]) -> dict[str, list[Any]]:
    """The keys in which runs differ, with the value of each run; None where a run has no such key."""
    keys = dict.fromkeys(key for run in runs for key in run.values)
    table = {key: [run.values.get(key) for run in runs] for key in keys}
    return {key: values for key, values in table.items() if any(value != values[0] for value in values)}


def list_metrics(runs: Sequence[Finished]) -> list[Metric]:
    """The metrics of the runs' tasks, the experiment's chosen one first."""
    tasks = dict.fromkeys(run.experiment.data.task for run in runs)
    found = list(dict.fromkeys(metric for task in tasks for metric in METRICS[task]))
    first = runs[0].experiment.evaluation.metric
    return sorted(found, key=lambda metric: metric.name != first)


def find_best(runs: Sequence[Finished], metric: Metric) -> float | None:
    """The best value of a metric. Runs on different data are not comparable: then there is none."""
    if any(run.experiment.data != runs[0].experiment.data for run in runs) or len(runs) < 2:  # noqa: PLR2004
        return None
    values = [value for run in runs if (value := run.metrics.get(metric.name)) is not None]
    return (max if metric.higher_is_better else min)(values, default=None)


def print_comparison(runs: Sequence[Finished], console: Console) -> None:
    """Two tables, one row a run: what differs in the configuration, and the metrics with the best marked."""
    differences = list_differences(runs)
    if differences:
        config = Table(title="Configuration", title_justify="left")
        config.add_column("run", no_wrap=True)
        for run in runs:
            config.add_column(run.name, overflow="fold")
        for key, values in differences.items():
            config.add_row(key, *(_show(value) for value in values))
        console.print(config)
    table = Table(title="Test metrics", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for run in runs:
        table.add_column(run.name, justify="right", overflow="fold")
    for metric in list_metrics(runs):
        best = find_best(runs, metric)
        arrow = "↑" if metric.higher_is_better else "↓"
        table.add_row(f"{metric.title} {arrow}", *(_mark(run.metrics.get(metric.name), best) for run in runs))
    console.print(table)


def _show(value: Any) -> str:
    return "-" if value is None else str(value).replace("[", r"\[")


def _mark(value: float | None, best: float | None) -> str:
    if value is None:
        return "-"
    return f"[bold green]{value:.4f} *[/]" if value == best else f"{value:.4f}"


def write_page(runs: Sequence[Finished], path: Path) -> None:
    """One self-contained HTML page: the two tables, and the learning curves of all runs."""
    from treadle.evaluation.charts import Line, draw_chart  # matplotlib only for a page
    from treadle.evaluation.curves import KINDS, read_curves
    from treadle.evaluation.report import render_page

    metrics = []
    for metric in list_metrics(runs):
        best = find_best(runs, metric)
        values = [run.metrics.get(metric.name) for run in runs]
        cells = [{"text": "-" if v is None else f"{v:.4f}", "best": v is not None and v == best} for v in values]
        metrics.append({"title": metric.title, "up": metric.higher_is_better, "cells": cells})
    charts = []
    for name in dict.fromkeys(column for run in runs for column in (run.history[0] if run.history else {})):
        if name.startswith(("train/", "valid/")):
            drawn = [run for run in runs if run.history and name in run.history[0]]
            lines = [Line(r.name, [row["epoch"] for row in r.history], [row[name] for row in r.history]) for r in drawn]
            charts.append(draw_chart(title=name, x="epoch", y=name, lines=lines))
    curves = {run.name: {c.name: c for c in read_curves(run.folder / "evaluation" / "plots")} for run in runs}
    for kind, (title, x, y) in KINDS.items():
        present = [(who, found[kind]) for who, found in curves.items() if kind in found]
        lines = [Line(who, [row[x] for row in c.rows], [row[y] for row in c.rows]) for who, c in present]
        if lines:
            charts.append(draw_chart(title=title, x=x, y=y, lines=lines, diagonal=kind != "precision_recall"))
    differences = {key: [_plain(value) for value in values] for key, values in list_differences(runs).items()}
    page = render_page("compare.html.jinja", runs=runs, differences=differences, metrics=metrics, charts=charts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _plain(value: Any) -> str:
    return "-" if value is None else str(value)
