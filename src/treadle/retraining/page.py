"""A simulation as one self-contained HTML page: how skilful the champion was over time, and every decision."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from treadle.disk import write_text
from treadle.experiment.spec import Experiment
from treadle.metrics.registry import find_metric
from treadle.pages.charts import Line, draw_chart
from treadle.pages.render import render_page
from treadle.retraining.simulation import Tick

_SHOWN = 8  # characters of a digest


def write_page(ticks: Sequence[Tick], file: Path, *, experiment: Experiment) -> None:
    """Write it.

    Args:
        ticks: of the simulation.
        file: to write.
        experiment: that was simulated.
    """
    page = render_page(
        "simulation.html.jinja",
        name=experiment.name,
        summary=summarize(ticks),
        charts=[_draw(ticks), *_draw_watched(ticks, experiment)],
        ticks=[{"time": time, **_tabulate(tick)} for time, tick in zip(_name(ticks), ticks, strict=True)],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, page)


def summarize(ticks: Sequence[Tick]) -> str:
    """What was decided, and what it was worth."""
    counts = Counter(tick.decided.action for tick in ticks)
    decided = ", ".join(f"{count} {action}" for action, count in counts.most_common())
    watched = [tick.watched for tick in ticks if tick.watched is not None and tick.watched.note is None]
    if watched:
        decided += f"; monitoring alarmed at {sum(bool(found.alarms) for found in watched)} of {len(watched)} looks"
    known = [tick for tick in ticks if tick.skill is not None and tick.first_skill is not None]
    total = sum(tick.num_rows for tick in known)
    if not total:
        return f"{len(ticks)} decisions: {decided}"
    own, first = (
        sum(tick.num_rows * (value or 0.0) for tick, value in zip(known, values, strict=True)) / total
        for values in ([tick.skill for tick in known], [tick.first_skill for tick in known])
    )
    return (
        f"{len(ticks)} decisions: {decided}. Skill over {total:,} rows: {own:.4f} of the champion, {first:.4f} of the "
        "first one, had it never been replaced"
    )


def _draw(ticks: Sequence[Tick]) -> str:
    places = [float(place) for place in range(len(ticks))]
    skills = {
        "champion": [tick.skill for tick in ticks],
        "first champion for ever": [tick.first_skill for tick in ticks],
        "challenger in the shadow": [tick.challenger_skill for tick in ticks],
    }
    known = {name: [math.nan if skill is None else skill for skill in found] for name, found in skills.items()}
    lines = [Line(name, places, found) for name, found in known.items() if not all(map(math.isnan, found))]
    return draw_chart(
        title="Skill: 1 - loss / the prior's loss", x="decision", y="skill", lines=lines, places=_name(ticks)
    )


def _name(ticks: Sequence[Tick]) -> list[str]:
    """The moments of the decisions, in words."""
    return [tick.decided.time.removesuffix("T00:00:00").replace("T", " ") for tick in ticks]


def _draw_watched(ticks: Sequence[Tick], experiment: Experiment) -> list[str]:
    """What was known of the champion's performance at each decision; nothing where it was not."""
    metric = experiment.evaluation.metric
    values = {
        "estimated, without labels": [_read(tick, "estimated", metric) for tick in ticks],
        "realised": [_read(tick, "realised", metric) for tick in ticks],
    }
    places = [float(place) for place in range(len(ticks))]
    lines = [Line(name, places, found) for name, found in values.items() if not all(map(math.isnan, found))]
    if not lines:
        return []
    found_metric = find_metric(experiment, metric)
    shown = metric if found_metric is None else found_metric.title
    title = f"{shown} as monitoring knew it"
    return [draw_chart(title=title, x="decision", y=shown, lines=lines, places=_name(ticks))]


def _read(tick: Tick, which: Literal["estimated", "realised"], metric: str) -> float:
    value = None if tick.watched is None else getattr(tick.watched, which).get(metric)
    return math.nan if value is None else float(value)


def _describe_alarms(tick: Tick) -> str:
    """The first alarm, which matters most, and how many there are beside it."""
    watched = tick.watched
    if watched is None:
        return "-"
    if not watched.alarms:
        return watched.note or "no alarm"
    more = len(watched.alarms) - 1
    return watched.alarms[0] + (f"; {more} more" if more else "")


def _tabulate(tick: Tick) -> dict[str, object]:
    decided = tick.decided
    return {
        "action": decided.action,
        "why": "; ".join([*decided.reasons, *([decided.sentence] if decided.sentence else [])]) or "no rule holds",
        "champion": (decided.bundle or "-")[:_SHOWN],
        "alarms": _describe_alarms(tick),
        "answered": f"{tick.num_answered:,}",
        "refused": tick.num_refused,
        "rows": f"{tick.num_rows:,}",
        "skill": _show(tick.skill),
        "first": _show(tick.first_skill),
        "challenger": "-" if decided.challenger is None else decided.challenger[:_SHOWN],
        "challenger_skill": _show(tick.challenger_skill),
    }


def _show(skill: float | None) -> str:
    return "-" if skill is None else f"{skill:.4f}"
