"""A comparison as a table in a terminal and as an HTML page."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from treadle.console import Console
from treadle.disk import write_text
from treadle.experiment.run_folder import RunFolder
from treadle.metrics.table import Scores
from treadle.runs.compare import Comparison, Ranked
from treadle.runs.labels import write_value

_LABEL_WIDTH = 24  # columns of a terminal that the labels have at least
_MARK = " *"  # of the best
_AXES = ("epoch", "step", "lr")  # columns of metrics.csv that are no metric
_PADDING = 3  # of a column of a table: two blanks and a line


def print_comparison(comparison: Comparison, console: Console) -> None:
    """One row a run, the best by the monitored metric first; as many test metrics as the width holds."""
    monitor, metrics = comparison.write_monitor(), comparison.write_metrics()
    shown = _fit_metrics(comparison, monitor, metrics, width=console.width)
    title = comparison.monitor.title
    caption = f"sorted by {title} on valid; the other metrics are on the test split, the best marked *"
    table = Table(caption=caption, caption_justify="left")
    table.add_column("run", no_wrap=True)
    table.add_column("what differs", overflow="fold", min_width=_LABEL_WIDTH)
    for scores in (monitor, *shown):
        table.add_column(scores.title, justify="right", width=_measure(scores) - _PADDING)
    for index, ranked in enumerate(comparison.runs):
        cells = (scores.cells[index].to_markup(_MARK) for scores in (monitor, *shown))
        table.add_row(escape(ranked.run.name), escape(ranked.label), *cells)
    console.print(table)
    if left_out := [metric.title for metric in comparison.metrics[len(shown) :]]:
        console.print(f"not shown (narrow terminal): {', '.join(left_out)}; --html FILE shows all", highlight=False)


def _fit_metrics(comparison: Comparison, monitor: Scores, metrics: list[Scores], *, width: int) -> list[Scores]:
    """The first metrics for which there is room beside the names, the labels and the monitored metric."""
    names = max(len(ranked.run.name) for ranked in comparison.runs)
    room = width - names - _LABEL_WIDTH - 2 * _PADDING - 1 - _measure(monitor)
    widths = map(_measure, metrics)
    fitting = sum(total <= room for total in accumulate(widths))
    return metrics[: max(1, fitting)]


def _measure(scores: Scores) -> int:
    """Width of a column of numbers: heads break between words."""
    words = [*scores.title.split(" "), *(f"{cell.text}{_MARK}" for cell in scores.cells)]
    return max(map(len, words)) + _PADDING


def write_page(comparison: Comparison, path: Path) -> None:
    """One self-contained HTML page: the runs with all metrics, what differs, and the curves of all runs."""
    from treadle.pages.render import render_page  # jinja2 and matplotlib only for a page

    page = render_page(
        "compare.html.jinja",
        runs=comparison.runs,
        monitor=comparison.write_monitor(),
        metrics=comparison.write_metrics(),
        differences={key: list(map(write_value, values)) for key, values in comparison.differences.items()},
        charts=[*_draw_learning(comparison.runs), *_draw_curves(comparison.runs)],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def _draw_learning(ranked: list[Ranked]) -> list[str]:
    """A chart for each value that training recorded: one line a run, the epoch that was kept marked."""
    from treadle.pages.charts import Line, draw_chart

    runs = [each.run for each in ranked if each.run.epochs]
    columns = dict.fromkeys(column for run in runs for column in run.epochs[0])
    charts = []
    for name in (column for column in columns if column not in _AXES):
        drawn = [run for run in runs if name in run.epochs[0]]
        lines = [
            Line(
                run.name,
                [row["epoch"] for row in run.epochs],
                [row[name] for row in run.epochs],
                marked=run.best_epoch.get("epoch"),
            )
            for run in drawn
        ]
        charts.append(draw_chart(title=name, x="epoch", y=name, lines=lines))
    return charts


def _draw_curves(ranked: list[Ranked]) -> list[str]:
    from treadle.evaluation.curves import read_curves
    from treadle.evaluation.kinds import KINDS
    from treadle.pages.charts import Line, draw_chart

    found = {each.run.name: {c.name: c for c in read_curves(RunFolder(each.run.folder).plots)} for each in ranked}
    charts = []
    for name, kind in KINDS.items():
        lines = [
            Line(run, [row[kind.x] for row in curves[name].rows], [row[kind.y] for row in curves[name].rows])
            for run, curves in found.items()
            if name in curves
        ]
        if lines:
            charts.append(draw_chart(title=kind.title, x=kind.x, y=kind.y, lines=lines, diagonal=kind.diagonal))
    return charts
