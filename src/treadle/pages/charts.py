"""Charts as SVG text for a page: one line each, light axes, readable in light and dark mode."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

COLORS = ("#2f6fdb", "#d9622b", "#2a9d6f", "#8e5bd0", "#c2931d", "#c13f6c", "#3d8f9e", "#7a7a7a")


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    marked: float | None = None  # x of the point to highlight: the epoch that was kept


def draw_chart(*, title: str, x: str, y: str, lines: Sequence[Line], diagonal: bool = False) -> str:
    """An inline SVG of lines; with `diagonal`, the line y = x for comparison."""
    import matplotlib as mpl  # half a second, only where a chart is drawn
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "treadle",
        "font.family": "sans-serif",
        "text.parse_math": False,  # a name with two dollar signs is not a formula
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):  # type: ignore[arg-type]
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.add_subplot(title=title, xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
        if diagonal:
            ends = [
                min(min(line.x, default=0.0) for line in lines),
                max(max(line.x, default=1.0) for line in lines),
            ]
            axes.plot(ends, ends, color="#999999", linewidth=1, linestyle="--")
        handles: list[Line2D] = []
        for index, line in enumerate(lines):
            mark = "o" if len(line.x) < 30 else None  # noqa: PLR2004 - few enough to show each
            handles += axes.plot(
                line.x,
                line.y,
                color=COLORS[index % len(COLORS)],
                linewidth=1.6,
                marker=mark,
                markersize=3,
                linestyle="-" if index < len(COLORS) else ":",
            )
            if line.marked is not None and line.marked in line.x:
                height = line.y[list(line.x).index(line.marked)]
                axes.plot([line.marked], [height], color=COLORS[index % len(COLORS)], marker="*", markersize=11)
        if x == "epoch":
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#cccccc", linewidth=0.4)
        if len(lines) > 1:
            legend = axes.legend(handles, map(str, range(len(handles))), frameon=False, fontsize=8)
            for text, line in zip(legend.get_texts(), lines, strict=True):
                text.set_text(line.label)  # afterwards: as a label, one that begins with an underscore is left out
        page = io.StringIO()
        figure.savefig(page, format="svg", metadata={"Date": None}, transparent=True)
    svg = page.getvalue()
    return svg[svg.index("<svg") :]
