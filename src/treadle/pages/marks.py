"""Charts of many trials as SVG text for a page, by matplotlib: light axes, readable in light and dark mode."""

from __future__ import annotations

import html
import io
import math
import re
import statistics
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# From the worst to the best score: darker is better (lighter in dark mode, which inverts charts).
SHADES = ("#eda85a", "#e17f62", "#c8586f", "#a3367f", "#73208c", "#2c1690")
_NEUTRAL = "#9a9a9a"  # of what has no score
_SIZE = (5.2, 3.6)
_WIDE = (10.8, 4.0)
_MAX_TICKS = 10  # texts at an axis
_MAX_TEXT = 18  # characters of one
_MAX_WIDTH = 40  # characters of all of them, beside each other


@dataclass(frozen=True)
class Scale:
    """An axis: numbers, or texts at equal distances."""

    title: str
    texts: tuple[str, ...] = ()  # none: numbers
    is_log: bool = False
    is_integer: bool = False
    limits: tuple[float, float] | None = None  # of numbers

    def place(self, text: str) -> float:
        """Where a value lies."""
        return float(self.texts.index(text)) if self.texts else float(text)

    def normalize(self, value: float) -> float:
        """From 0 at the lower limit to 1 at the upper one; what lies outside is put at the nearer limit."""
        if self.texts:
            return value / max(1, len(self.texts) - 1)
        assert self.limits is not None
        low, high = self.limits
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def list_ticks(self) -> list[tuple[float, str]]:
        """Values at which a text stands, at most about ten."""
        if self.texts:
            step = math.ceil(len(self.texts) / _MAX_TICKS)
            return [(float(i), _shorten(text)) for i, text in enumerate(self.texts) if i % step == 0]
        assert self.limits is not None
        low, high = self.limits
        values = _list_powers(low, high) if self.is_log else _list_steps(low, high, integer=self.is_integer)
        return [(value, f"{value:g}") for value in values]


def _list_powers(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers, with 2 and 5 times those where they are few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5), range(1, 10)):
        values = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
        inside = [value for value in values if low <= value <= high]
        if len(inside) > 2:  # noqa: PLR2004 - enough to read a place between
            step = math.ceil(len(inside) / _MAX_TICKS)
            return inside[::step]
    return [low, high]


def _list_steps(low: float, high: float, *, integer: bool) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    slack = 1e-9 * (high - low)
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=integer).tick_values(low, high)
    return [float(f"{value:.6g}") for value in ticks if low - slack <= value <= high + slack]


@dataclass(frozen=True)
class Mark:
    """A line or a point of a chart that holds many, coloured by how good it is."""

    label: str  # shown while the pointer is over it
    x: Sequence[float]
    y: Sequence[float]
    quality: float | None  # from 0, the worst, to 1, the best; None: it has no score
    is_best: bool = False
    is_dashed: bool = False
    symbol: str = "o"  # of a point, by matplotlib's name


def draw_curves(*, title: str, y: str, curves: Sequence[Mark]) -> str:
    """An inline SVG of many lines over epochs; what lies far from most values is drawn at the edge."""
    low, high = find_limits([value for curve in curves for value in curve.y]) or (0.0, 1.0)
    with _styled():
        figure, axes = _make_axes(title=title, x="epoch", y=y, size=_WIDE)
        _add_marks(
            axes, [replace(c, y=[min(high, max(low, v)) if not math.isnan(v) else v for v in c.y]) for c in curves]
        )
        _count_epochs(axes)
        axes.set_ylim(*_widen((low, high)))
        return _write(figure, curves)


def draw_parallel(*, title: str, scales: Sequence[Scale], marks: Sequence[Mark]) -> str:
    """An inline SVG of parallel coordinates.

    Args:
        title: of the chart.
        scales: an axis each; those of numbers have limits.
        marks: a line each, with a value on each scale, or NaN where it has none.
    """
    with _styled():
        figure, axes = _make_axes(title=title, x="", y="", size=_WIDE)
        placed = [replace(mark, y=list(map(_normalize, scales, mark.y))) for mark in marks]
        _add_marks(axes, placed)
        axes.grid(visible=False)
        for position, scale in enumerate(scales):
            axes.axvline(position, color="#444444", linewidth=1, zorder=5)
            ticks = [(scale.normalize(value), text) for value, text in scale.list_ticks()]
            if any(math.isnan(mark.y[position]) for mark in marks):
                ticks.append((_ABSENT, "none"))
            for height, text in ticks:
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
                axes.text(position + 0.02, height, text, fontsize=8, va="center", bbox=box, zorder=6)
        axes.set_xticks(range(len(scales)), labels=[_shorten(scale.title, 30) for scale in scales])
        axes.set_yticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_xlim(-0.1, len(scales) - 1 + 0.35)
        return _write(figure, marks)


_ABSENT = -0.12  # height at which a line crosses an axis on which it has no value


def _normalize(scale: Scale, value: float) -> float:
    return _ABSENT if math.isnan(value) else scale.normalize(value)


def draw_points(
    *, title: str, x: Scale, y: Scale, points: Sequence[Mark], line: Sequence[Mark] = (), landscape: bool = False
) -> str:
    """An inline SVG of points, with lines behind them, or what a smoothed score would be everywhere."""
    with _styled():
        figure, axes = _make_axes(title=title, x=x.title, y=y.title)
        if landscape:
            _add_landscape(axes, x, y, [p for p in points if p.quality is not None])
        _add_marks(axes, [*line, *points], size=6)
        _scale(axes, x=x, y=y)
        return _write(figure, [*line, *points])


def _add_landscape(axes: Axes, x: Scale, y: Scale, points: Sequence[Mark]) -> None:
    """Means of the qualities around each place, weighted by a Gaussian of a tenth of each axis' length."""
    import numpy as np

    known = np.array([[x.normalize(p.x[0]), y.normalize(p.y[0]), p.quality or 0.0] for p in points])
    steps = np.linspace(0, 1, 40)
    across, up = np.meshgrid(steps, steps)
    squares = (across[..., None] - known[:, 0]) ** 2 + (up[..., None] - known[:, 1]) ** 2
    nearest = squares.min(axis=-1, keepdims=True)  # taken off, so that no weight is 0 for all
    weights = np.exp((nearest - squares) / (2 * 0.1**2))
    heights = (weights * known[:, 2]).sum(axis=-1) / weights.sum(axis=-1)
    places = [_spread(scale, steps.tolist()) for scale in (x, y)]
    axes.contourf(
        *places, heights, levels=np.linspace(0, 1, 9), colors=[_shade(s) for s in np.linspace(0, 1, 8)], alpha=0.3
    )


def _spread(scale: Scale, shares: Sequence[float]) -> list[float]:
    """The values at shares of an axis of numbers."""
    assert scale.limits is not None
    low, high = scale.limits
    return [low * (high / low) ** share if scale.is_log else low + (high - low) * share for share in shares]


def find_limits(values: Sequence[float]) -> tuple[float, float] | None:
    """Between which most values lie: those farther out than the length of the middle 90 % are not; None for none."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return None
    if len(finite) < 2 or finite[0] == finite[-1]:  # noqa: PLR2004 - no length
        return finite[0] - 0.5 * (abs(finite[0]) or 1), finite[0] + 0.5 * (abs(finite[0]) or 1)
    parts = statistics.quantiles(finite, n=20, method="inclusive")
    low, high = parts[0], parts[-1]
    if low == high:
        return finite[0], finite[-1]
    return max(finite[0], low - (high - low)), min(finite[-1], high + (high - low))


# --- shared


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib as mpl  # half a second, only where a chart is drawn

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "treadle",
        "font.family": "sans-serif",
        "text.parse_math": False,  # a name with two dollar signs is not a formula
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style), warnings.catch_warnings():  # type: ignore[arg-type]
        # The browser draws the texts, by its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _make_axes(*, title: str, x: str, y: str, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=x, ylabel=y)
    axes.grid(color="#cccccc", linewidth=0.4)
    return figure, axes


def _count_epochs(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _scale(axes: Axes, *, x: Scale, y: Scale) -> None:
    for name, axis, scale in (("x", axes.xaxis, x), ("y", axes.yaxis, y)):
        limits = (-0.5, len(scale.texts) - 0.5) if scale.texts else scale.limits
        assert limits is not None
        if scale.is_log:
            axes.set(**{f"{name}scale": "log"})
            axis.minorticks_off()
        places, texts = zip(*scale.list_ticks(), strict=True)
        axis.set_ticks(places, labels=texts)
        if name == "x" and sum(map(len, texts)) > _MAX_WIDTH:
            axis.set_tick_params(labelrotation=90)
        axes.set(**{f"{name}lim": limits if scale.texts or scale.is_log else _widen(limits)})


def _widen(limits: tuple[float, float]) -> tuple[float, float]:
    margin = 0.05 * (limits[1] - limits[0])
    return limits[0] - margin, limits[1] + margin


def _add_marks(axes: Axes, marks: Sequence[Mark], *, size: float = 3) -> None:
    """Better ones over worse ones, thinner where there are many."""
    order = sorted(range(len(marks)), key=lambda i: (marks[i].is_best, marks[i].quality or 0.0))
    width = 1.5 if len(marks) <= 20 else 1.0 if len(marks) <= 100 else 0.7  # noqa: PLR2004 - by eye
    for index in order:
        mark = marks[index]
        axes.plot(
            mark.x,
            mark.y,
            color=_shade(mark.quality),
            linewidth=3 if mark.is_best else width,
            linestyle="none" if len(mark.x) == 1 else "--" if mark.is_dashed else "-",
            marker=mark.symbol if len(mark.x) == 1 else None,
            markersize=size * 2 if mark.is_best else size,
            markeredgecolor="#222222" if mark.is_best and len(mark.x) == 1 else None,
            markeredgewidth=1.5 if mark.symbol in "x|" else None,
            clip_on=len(mark.x) > 1,
            zorder=3,
            gid=f"mark-{index}",
        )


def _shade(quality: float | None) -> str:
    """The colour of a score."""
    if quality is None or math.isnan(quality):
        return _NEUTRAL
    place = min(1.0, max(0.0, quality)) * (len(SHADES) - 1)
    index = min(int(place), len(SHADES) - 2)
    pairs = zip(_read_color(SHADES[index]), _read_color(SHADES[index + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - index)):02x}" for a, b in pairs)


def _read_color(color: str) -> list[int]:
    return [int(color[start : start + 2], 16) for start in (1, 3, 5)]


def _shorten(text: str, length: int = _MAX_TEXT) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _write(figure: Figure, marks: Sequence[Mark] = ()) -> str:
    """The drawing, with the labels of its marks as texts that appear under the pointer."""
    page = io.StringIO()
    figure.savefig(page, format="svg", metadata={"Date": None}, transparent=True)
    svg = page.getvalue()
    labels = [f"<g><title>{html.escape(mark.label)}</title>" for mark in marks]
    return re.sub(r'<g id="mark-(\d+)">', lambda found: labels[int(found[1])], svg[svg.index("<svg") :])
