"""The panels of a dashboard, by section: what its workspace and its report have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr

from treadle.dashboards.subject import Subject
from treadle.evaluation.kinds import KINDS

Panel = Any  # one of the library's, whose types mypy does not see
SETTING = "sweep.setting"  # of the configuration: what runs that differ in the seed share
_MAX_RUNS = 100  # in a chart
_SYSTEM = (("cpu", "Use of processors"), ("memory_percent", "Use of memory"))


@dataclass(frozen=True)
class Section:
    """Panels on one question."""

    name: str
    panels: list[Panel]
    is_open: bool = False
    is_reported: bool = False  # in the report as well


def list_sections(subject: Subject) -> Iterator[Section]:
    """The sections, in the order in which one looks at them."""
    yield Section("About", [wr.MarkdownPanel(markdown=write_about(subject))], is_open=True)
    yield Section("Learning curves", _list_curves(subject), is_open=True, is_reported=True)
    if subject.swept:
        yield Section("Settings", _list_settings(subject), is_open=True, is_reported=True)
    if subject.tested:
        title = "Model beside baselines, on the test split" if subject.baselines else "Metrics, on the test split"
        yield Section(title, _list_scores(subject), is_open=True, is_reported=True)
    if subject.kinds:
        yield Section("Calibration and curves, on the test split", _list_kinds(subject), is_open=True, is_reported=True)
    yield Section("Runs compared", [wr.RunComparer(diff_only="split", layout=wr.Layout(w=24, h=12))])
    if subject.has_system_metrics:
        yield Section("System", _list_system())


def write_about(subject: Subject) -> str:
    """The question, and how the runs were made, in Markdown."""
    lines = [f"**{subject.question}**", ""] if subject.question else []
    return "\n".join([*lines, *(f"- {fact}" for fact in subject.facts)])


def _list_curves(subject: Subject) -> list[Panel]:
    """The objective at full width, then what else each epoch has."""
    first, *others = subject.curves
    panels: list[Panel] = [_plot_epochs(subject, first, layout=wr.Layout(w=24, h=10))]
    return panels + [_plot_epochs(subject, name) for name in others]


def _plot_epochs(subject: Subject, name: str, *, layout: wr.Layout | None = None) -> wr.LinePlot:
    """A metric over epochs; of a sweep a line for each setting, with the range of its seeds."""
    grouped = {"groupby": wr.Config(SETTING), "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    return wr.LinePlot(
        title=name,
        x="epoch",
        y=[name],
        smoothing_type="none",
        max_runs_to_show=_MAX_RUNS,
        layout=layout or wr.Layout(),
        **(grouped if subject.is_sweep else {}),
    )


def _list_settings(subject: Subject) -> list[Panel]:
    """Which values give which objective: all axes side by side, their importance, and each alone."""
    column = wr.ParallelCoordinatesPlotColumn
    columns = [column(wr.Config(axis.key), display_name=axis.title, log=axis.is_log) for axis in subject.swept]
    inverted = not subject.objective.higher_is_better  # the best is at the top
    columns.append(column(wr.SummaryMetric(subject.best), display_name=subject.best, inverted=inverted))
    alone = [
        wr.ScatterPlot(
            title=f"{subject.best} over {axis.title}",
            x=wr.Config(axis.key),
            y=wr.SummaryMetric(subject.best),
            log_x=axis.is_log,
        )
        for axis in subject.swept
    ]
    return [
        wr.ParallelCoordinatesPlot(columns=columns, layout=wr.Layout(w=24, h=10)),
        wr.ParameterImportancePlot(with_respect_to=subject.best, layout=wr.Layout(w=24, h=8)),
        *alone,
    ]


def _list_scores(subject: Subject) -> list[Panel]:
    who = ("model", *subject.baselines)
    return [
        wr.BarPlot(title=metric.title, metrics=[f"{name}/{metric.name}" for name in who], orientation="h")
        for metric in subject.tested
    ]


def _list_kinds(subject: Subject) -> list[Panel]:
    return [
        wr.LinePlot(
            title=KINDS[name].title,
            x=f"{name}/{KINDS[name].x}",
            y=[f"{name}/{KINDS[name].y}"],
            title_x=KINDS[name].x,
            title_y=KINDS[name].y,
            smoothing_type="none",
            max_runs_to_show=_MAX_RUNS,
        )
        for name in subject.kinds
    ]


def _list_system() -> list[Panel]:
    """Use of the machine over the time of the process; GPUs by a pattern, since their number differs."""
    x = "RelativeTime(Process)"
    panels: list[Panel] = [wr.LinePlot(title=title, x=x, y=[f"system.{name}"]) for name, title in _SYSTEM]
    gpus = {"Use of GPUs": r"system\.gpu\.\d+\.gpu$", "Memory of GPUs": r"system\.gpu\.\d+\.memoryAllocated$"}
    return panels + [wr.LinePlot(title=title, x=x, metric_regex=pattern) for title, pattern in gpus.items()]
