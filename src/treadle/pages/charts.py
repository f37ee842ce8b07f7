"""Charts of lines and bars as our own SVG: few bytes, coloured by the page, with values under the pointer."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 440, 300  # of the drawing, in its own units: pixels, where there is room
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 10, 42  # of the plot, within the drawing; "-0.025" stands beside the axis' name
NUM_COLORS = 8  # of the page's style
_FEW = 30  # points: each is shown
_TICKS = 5
_NAMED = 4  # places with a name, at most
_CROWDED, _MAX_TEXT = 45, 10  # characters of all texts at an axis, before they are turned; of one
_HALF_TEXT = 32  # half the width of the longest text
_TURNED = 18  # how much deeper texts reach that are turned


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    marked: float | None = None  # x of the point to highlight: the epoch that was kept
    band: tuple[Sequence[float], Sequence[float]] | None = None  # lower and upper ends of its interval
    is_apart: bool = False  # whether its points have no order

    @property
    def heights(self) -> list[float]:
        """All that the vertical axis must show."""
        return [*self.y, *(value for end in self.band or () for value in end)]


@dataclass(frozen=True)
class Axis:
    """Numbers along one side of a chart."""

    low: float
    high: float
    start: float  # where `low` is drawn
    end: float  # where `high` is
    ticks: Sequence[float]
    texts: Sequence[str] = ()  # of the places 0, 1, 2 …, which the ticks are some of; none: the numbers

    @property
    def shown(self) -> list[str]:
        """The texts of the ticks."""
        return [self.texts[round(tick)] for tick in self.ticks] if self.texts else []

    def place(self, value: float) -> float:
        """Where a value is drawn."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Bar:
    """A bar of a chart, with an interval where it has one."""

    label: str
    value: float
    bounds: tuple[float, float] | None = None


def draw_chart(
    *,
    title: str,
    x: str,
    y: str,
    lines: Sequence[Line],
    diagonal: bool = False,
    is_counted: bool = False,
    places: Sequence[str] = (),
) -> str:
    """The content of a <figure>: title, legend and drawing.

    Args:
        title: of the chart.
        x: name of the axis across.
        y: name of the axis up.
        lines: to draw.
        diagonal: whether the line y = x is drawn, for comparison.
        is_counted: whether the values across are whole numbers, as epochs are.
        places: names of the values across, which are 0, 1, 2 …; a few are written, the pointer shows each.
    """
    is_counted = is_counted or x == "epoch"
    if places:
        step = -(-len(places) // _NAMED)
        ticks = [float(place) for place in range(0, len(places), step)]
        across = Axis(-0.5, len(places) - 0.5, LEFT, WIDTH - RIGHT, ticks, places)
    else:
        across = _make_axis([v for line in lines for v in line.x], LEFT, WIDTH - RIGHT, integer=is_counted)
    up = _make_axis([v for line in lines for v in line.heights], HEIGHT - BOTTOM, TOP)
    behind = _draw_diagonal(across, up) if diagonal else ()
    return _draw(title, (x, y), (across, up), lines=lines, behind=behind)


def draw_bars(*, title: str, bars: Sequence[Bar]) -> str:
    """The content of a <figure> of bars below each other, the first on top."""
    ends = [0.0, *(end for bar in bars for end in (bar.value, *(bar.bounds or ())))]
    low, length = min(ends), (max(ends) - min(ends)) or 1.0

    def draw_part(tag: str, start: float, end: float) -> str:
        left, right = sorted(100 * (value - low) / length for value in (start, end))
        return f'<{tag} style="left:{left:.2f}%;width:{right - left:.2f}%"></{tag}>'

    rows = [
        f"<li><span>{_escape(bar.label)}</span><span>{draw_part('i', 0.0, bar.value)}"
        f"{'' if bar.bounds is None else draw_part('b', *bar.bounds)}</span><em>{bar.value:.3g}</em></li>"
        for bar in bars
    ]
    return "\n".join([f'<figcaption>{_escape(title)}</figcaption>\n<ul class="bars">', *rows, "</ul>"])


def draw_dependence(
    *,
    title: str,
    values: Sequence[float | str],
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    shares: Sequence[float],
    edges: Sequence[float],
) -> str:
    """The content of a <figure> of curves over the values of a column, with the density of the rows behind.

    Args:
        title: of the chart.
        values: numbers, or texts.
        curves: heights at each value, and the lower and the upper ends of their intervals, which may be empty.
        shares: of the rows: at each text, or in each bin.
        edges: of the bins; none for texts.
    """
    places = [float(i) if isinstance(value, str) else value for i, value in enumerate(values)]
    is_apart = bool(shares) and not edges  # texts are no order
    lines = [
        Line(name, places, heights, band=(lows, highs) if lows else None, is_apart=is_apart)
        for name, (heights, lows, highs) in curves.items()
    ]
    if any(isinstance(value, str) for value in values):
        across = Axis(-0.5, len(places) - 0.5, LEFT, WIDTH - RIGHT, places, [str(value) for value in values])
    else:
        across = _make_axis([*places, *edges], LEFT, WIDTH - RIGHT)
    up = _make_axis([value for line in lines for value in line.heights], HEIGHT - BOTTOM, TOP)
    spans = list(pairwise(edges)) if edges else [(place - 0.4, place + 0.4) for place in places]
    behind = _draw_density(spans, shares, across) if shares else ()
    return _draw(title, ("", "mean prediction"), (across, up), lines=lines, behind=behind)


def _draw_density(spans: Sequence[tuple[float, float]], shares: Sequence[float], across: Axis) -> Iterator[str]:
    """Where the rows are: areas in the lower third."""
    unit = (HEIGHT - BOTTOM - TOP) / 3 / max(*shares, 1e-9)
    for (start, end), share in zip(spans, shares, strict=True):
        left, right = across.place(start), across.place(end)
        height = unit * share
        size = f'width="{right - left:.1f}" height="{height:.1f}"'
        yield f'<rect class="density" x="{left:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" {size}/>'


def _draw(
    title: str, axes: tuple[str, str], scales: tuple[Axis, Axis], *, lines: Sequence[Line], behind: Iterable[str]
) -> str:
    x, y = axes
    across, up = scales
    scale = " ".join(f"{v:.6g}" for a in (across, up) for v in (a.low, a.high, a.start, a.end))
    names = (_escape(x.replace("_", " ")), _escape(y.replace("_", " ")))
    height = HEIGHT + (_TURNED if _is_crowded(across) else 0)
    label = f'role="img" aria-label="{_escape(title)}"'
    if across.texts:
        label += f' data-texts="{_escape(json.dumps(list(across.texts), ensure_ascii=False))}"'
    parts = [
        f"<figcaption>{_escape(title)}</figcaption>",
        *_draw_legend(lines),
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" {label} data-scale="{scale}" data-x="{names[0]}">',
        *_draw_frame(across, up, names),
        *behind,
        *(part for index, line in enumerate(lines) for part in _draw_line(line, index, across, up)),
        "</svg>",
    ]
    return "\n".join(parts)


def _is_crowded(across: Axis) -> bool:
    """Whether its texts are turned, since they do not fit beside each other."""
    return sum(map(len, across.shown)) > _CROWDED


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _draw_legend(lines: Sequence[Line]) -> Iterator[str]:
    if len(lines) > 1:
        yield '<p class="legend">'
        for index, line in enumerate(lines):
            yield f'<span data-line="{index}"><i class="{_name_color(index)}"></i>{_escape(line.label)}</span>'
        yield "</p>"


def _name_color(index: int) -> str:
    return f"c{index % NUM_COLORS}" + (" more" if index >= NUM_COLORS else "")


def _draw_frame(across: Axis, up: Axis, names: tuple[str, str]) -> Iterator[str]:
    """Grid, numbers and titles of both axes."""
    for value, text in _write_ticks(up):
        height = up.place(value)
        yield f'<path class="grid" d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 7}" y="{height + 4:.1f}" text-anchor="end">{text}</text>'
    is_crowded = _is_crowded(across)
    for value, text in _write_ticks(across):
        place, down = across.place(value), HEIGHT - BOTTOM + (12 if is_crowded else 17)
        yield f'<path class="tick" d="M{place:.1f} {HEIGHT - BOTTOM}v4"/>'
        is_last = bool(across.texts) and place > WIDTH - _HALF_TEXT  # it would be cut off
        turn = f' transform="rotate(-35 {place:.1f} {down})"' if is_crowded else ""
        anchor = "end" if is_crowded or is_last else "middle"
        start = WIDTH - 1 if is_last and not is_crowded else place
        yield f'<text x="{start:.1f}" y="{down}"{turn} text-anchor="{anchor}">{text}</text>'
    yield f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    below = f'x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}"'
    beside = f'transform="translate(11 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"'
    for name, where in zip(names, (below, beside), strict=True):
        yield f'<text class="name" {where} text-anchor="middle">{name}</text>'


def _draw_diagonal(across: Axis, up: Axis) -> Iterator[str]:
    low, high = max(across.low, up.low), min(across.high, up.high)
    if low < high:
        ends = (across.place(low), up.place(low), across.place(high), up.place(high))
        yield '<path class="diagonal" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>'.format(*ends)


def _draw_line(line: Line, index: int, across: Axis, up: Axis) -> Iterator[str]:
    yield f'<g class="{_name_color(index)}" data-line="{index}" data-label="{_escape(line.label)}">'
    if line.band is not None:
        yield from _draw_band(line.x, *line.band, across=across, up=up, is_apart=line.is_apart)
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    yield f'<path class="{"line apart" if line.is_apart else "line"}" d="{_trace(line.x, line.y, across, up)}"/>'
    if line.is_apart or len(points) < _FEW:
        yield from (f'<circle cx="{across.place(x):.1f}" cy="{up.place(y):.1f}" r="2.2"/>' for x, y in points)
    for x, y in points:
        if x == line.marked:
            yield f'<path class="star" d="{_draw_star(across.place(x), up.place(y))}"/>'
    yield "</g>"


def _draw_band(
    xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], *, across: Axis, up: Axis, is_apart: bool
) -> Iterator[str]:
    if is_apart:
        for x, low, high in zip(xs, lows, highs, strict=True):
            yield f'<path class="whisker" d="M{across.place(x):.1f} {up.place(low):.1f}V{up.place(high):.1f}"/>'
        return
    there, back = _trace(xs, highs, across, up), _trace(xs[::-1], lows[::-1], across, up)
    yield f'<path class="band" d="{there}{back.replace("M", "L")}Z"/>'


def _trace(xs: Sequence[float], ys: Sequence[float], across: Axis, up: Axis) -> str:
    """A path through the points; a value that is no number interrupts it."""
    path, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            path.append(f"{pen}{across.place(x):.1f} {up.place(y):.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(path)


def _draw_star(x: float, y: float, size: float = 8) -> str:
    corners = []
    for step in range(10):
        radius, angle = size if step % 2 == 0 else 0.42 * size, math.pi * step / 5
        corners.append(f"{x + radius * math.sin(angle):.1f} {y - radius * math.cos(angle):.1f}")
    return f"M{'L'.join(corners)}Z"


# --- axes


_NOISE = 1e-10  # of values that are equal but for the rounding of sums: no tick lies between them


def _make_axis(values: Sequence[float], start: float, end: float, *, integer: bool = False) -> Axis:
    """From the first tick at or below all values to the last at or above them."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = least, most = min(finite, default=0.0), max(finite, default=1.0)
    if high - low <= _NOISE * max(abs(low), abs(high)):
        margin = 0.5 * abs(low) or 0.5
        low, high = (low - 1, high + 1) if integer else (low - margin, high + margin)
    step = _find_step(high - low, integer=integer)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [float(f"{number * step:.12g}") for number in range(first, last + 1)]
    if integer:  # the first epoch is 1: nothing lies at 0
        return Axis(low, high, start + 8, end - 8, [tick for tick in ticks if least <= tick <= most])
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def _find_step(span: float, *, integer: bool) -> float:
    """1, 2 or 5 times a power of ten, so that there are about five steps."""
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * _TICKS >= span * (1 - 1e-9))
    return max(1.0, step) if integer else step


def _write_ticks(axis: Axis) -> list[tuple[float, str]]:
    """Each tick with its text, or its number, all with as many decimals."""
    if axis.texts:
        return [(tick, _escape(_shorten(text))) for tick, text in zip(axis.ticks, axis.shown, strict=True)]
    texts = [f"{tick:.6g}" for tick in axis.ticks]
    if any("e" in text for text in texts):
        return list(zip(axis.ticks, texts, strict=True))
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    return [(tick, f"{tick:,.{decimals}f}") for tick in axis.ticks]
