"""The page of a monitoring: a timeline of the charts, the alarms with what changed, and performance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from treadle.disk import write_text
from treadle.metrics.registry import METRICS, write_score
from treadle.monitoring.charts import Alarm
from treadle.monitoring.estimate import CAVEAT
from treadle.monitoring.findings import Block, Findings
from treadle.monitoring.views import UNITS, describe_slight, summarize
from treadle.pages.charts import Line, draw_chart
from treadle.pages.render import render_page
from treadle.profiles.cells import list_cells

_MAX_COLUMNS = 12  # whose distributions are drawn
_MAX_LINES = 5  # columns in the timeline


def write_page(findings: Findings, file: Path) -> None:
    """Write one self-contained HTML page."""
    reference = findings.reference
    changed = list(findings.changed.items())[:_MAX_COLUMNS]
    page = render_page(
        "monitor.html.jinja",
        findings=findings,
        units=UNITS[reference.blocking.unit],
        summary=summarize(findings),
        caveat=CAVEAT,
        rows=[_tabulate(block) for block in findings.blocks],
        metrics=[metric.title for metric in METRICS[reference.task]],
        performance=[_tabulate_performance(findings, block) for block in findings.blocks],
        test=[write_score(reference.performance.metrics.get(metric.name)) for metric in METRICS[reference.task]],
        charts=[_draw_timeline(findings), *_draw_performance(findings)],
        distributions=[_draw_change(findings, name, counts) for name, counts in changed],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, page)


def _tabulate(block: Block) -> dict[str, object]:
    judged = block.judged
    return {
        "block": judged.block,
        "rows": f"{judged.rows:,}",
        "strength": "" if judged.unjudged else f"{block.strength:.2f}",
        "unjudged": judged.unjudged or "",
        "slight": describe_slight(block) if block.slight else "",
        "alarms": [_write_alarm(block, alarm) for alarm in block.alarms],
    }


def _write_alarm(block: Block, alarm: Alarm) -> dict[str, str]:
    effect = block.effects.get(alarm.signal.columns)
    return {
        "subject": alarm.signal.subject,
        "kind": alarm.signal.kind,
        "strength": f"{alarm.strength:.2f}",
        "effect": "-" if effect is None else f"{effect.mean:.2g}",
        "importance": "-" if effect is None else f"{effect.importance:.2g}",
        "words": alarm.words,
    }


def _tabulate_performance(findings: Findings, block: Block) -> dict[str, object]:
    realised = block.realised
    is_known = realised is not None and bool(realised.metrics)
    values = realised.metrics if realised is not None and is_known else block.estimated
    names = [metric.name for metric in METRICS[findings.reference.task]]
    return {
        "block": block.judged.block,
        "source": "realised" if is_known else "estimated" if values else "-",
        "labels": "-" if realised is None else f"{realised.share:.1%}",
        "maturing": realised.maturing if realised is not None else 0,
        "values": [write_score(values.get(name)) for name in names],
    }


def _draw_timeline(findings: Findings) -> str:
    """Strengths: of the reference's own blocks, then of the log's; and of the columns that alarmed most."""
    own = list(findings.charts.own_strengths.values())
    judged = [block for block in findings.blocks if block.judged.unjudged is None]
    places = [float(len(own) + place) for place in range(len(judged))]
    lines = [
        Line("reference", [float(place) for place in range(len(own))], own),
        Line("log", places, [block.strength for block in judged]),
    ]
    peaks: dict[str, float] = {}
    for block in judged:
        for name, strength in block.judged.strengths.items():
            peaks[name] = max(strength, peaks.get(name, 0.0))
    worst = sorted((name for name in peaks if peaks[name] > 1), key=lambda name: -peaks[name])[:_MAX_LINES]
    lines += [Line(name, places, [block.judged.strengths.get(name, 0.0) for block in judged]) for name in worst]
    lines.append(Line("limit", [0.0, float(len(own) + len(judged) - 1)], [1.0, 1.0]))
    names = [*findings.charts.own_strengths, *(block.judged.block for block in judged)]
    weighed = ", where it moves the predictions" if any(block.slight for block in judged) else ""
    title = f"Strongest signal; beyond 1 it alarms{weighed}"
    return draw_chart(title=title, x=_name_axis(findings), y="strength", lines=lines, places=_shorten(names))


def _name_axis(findings: Findings) -> str:
    unit = findings.reference.blocking.unit
    return "weeks, by their first day" if unit == "week" else UNITS[unit]


def _shorten(blocks: Sequence[str]) -> list[str]:
    """Names of blocks that have room below an axis: those of rows are `block 000012`."""
    return [block.removeprefix("block ").lstrip("0") for block in blocks]


def _draw_performance(findings: Findings) -> list[str]:
    """A chart of each metric that is estimated or realised."""
    charts = []
    for metric in METRICS[findings.reference.task]:
        estimated = _collect(findings, metric.name, realised=False)
        realised = _collect(findings, metric.name, realised=True)
        if not estimated.x and not realised.x:
            continue
        ends = [0.0, float(len(findings.blocks) - 1)]
        test = findings.reference.performance.metrics.get(metric.name, float("nan"))
        usual = Line("test split", ends, [test, test])
        lines = [line for line in (realised, usual, estimated) if line.x]  # of the same colours in each chart
        names = _shorten([block.judged.block for block in findings.blocks])
        chart = draw_chart(title=metric.title, x=_name_axis(findings), y=metric.title, lines=lines, places=names)
        charts.append(chart)
    return charts


def _collect(findings: Findings, name: str, *, realised: bool) -> Line:
    points = []
    for place, block in enumerate(findings.blocks):
        known = block.realised.metrics if block.realised is not None else {}
        values = known if realised else block.estimated
        if name in values:
            points.append((float(place), values[name]))
    return Line("realised" if realised else "estimated", [x for x, _ in points], [y for _, y in points])


def _draw_change(findings: Findings, name: str, counts: list[int]) -> str:
    """Shares of the cells of a column, before and now."""
    reference = findings.reference
    index = [column.name for column in reference.columns].index(name)
    starts = list_cells(reference.columns)
    before = reference.profile.cells.sum(axis=0)[starts[index] : starts[index + 1]]
    column = reference.columns[index]
    places, is_apart = [float(place) for place in range(column.count)], column.texts is not None  # texts are no order
    now = [count / max(1, sum(counts)) for count in counts]
    lines = [
        Line("reference", places, (before / max(1, before.sum())).tolist(), is_apart=is_apart),
        Line("blocks that alarm", places, now, is_apart=is_apart),
    ]
    names = [column.describe(place) for place in range(column.count)]
    return draw_chart(title=name, x="", y="share of the rows", lines=lines, places=names)
