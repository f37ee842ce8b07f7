"""What was found, for people, for GitHub Actions and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.metrics.registry import METRICS, write_score
from treadle.monitoring.charts import Alarm
from treadle.monitoring.effect import Effect
from treadle.monitoring.estimate import CAVEAT
from treadle.monitoring.findings import Block, Findings
from treadle.problems import escape_annotation
from treadle.wording import number_of

_SHOWN = 5  # alarms of a block, in text
UNITS = {"week": "weeks", "day": "days", "rows": "blocks of rows"}


def write_text(findings: Findings) -> str:
    """A line for each block, with its alarms and its performance."""
    return "\n".join([*_describe_reference(findings), "", *_list_blocks(findings), "", summarize(findings)])


def summarize(findings: Findings) -> str:
    """The result in one sentence."""
    judged = [block for block in findings.blocks if block.judged.unjudged is None]
    units = UNITS[findings.reference.blocking.unit]
    if not judged:
        return f"none of {len(findings.blocks)} {units} can be judged ({findings.log})"
    return f"{len(findings.alarmed)} of {len(judged)} {units} alarm ({findings.log})"


def _describe_reference(findings: Findings) -> Iterator[str]:
    reference, own = findings.reference, findings.charts.own_strengths
    units = UNITS[reference.blocking.unit]
    false = sum(strength > 1 for strength in own.values())
    yield f"{findings.model}: against {len(own)} {units} of its training rows, of which {false} would alarm"
    if reference.blocking.unit == "rows":
        yield (
            "  the training rows have no time: normal is what chance does to blocks of rows, not what weeks do; "
            "harmless change over time may alarm"
        )
    if reference.ignored:
        yield f"  not monitored: {', '.join(reference.ignored)}"
    if findings.absent:
        told = "not in the log, so that all values are missing (--ignore leaves a column out)"
        yield f"  {told}: {', '.join(findings.absent)}"
    yield from (f"  {note}" for note in findings.notes)
    if any(block.estimated for block in findings.blocks):
        known = reference.performance.metrics
        shown = [f"{m.title} {write_score(known[m.name])}" for m in METRICS[reference.task] if m.name in known]
        yield f"  on the test split: {', '.join(shown)}"
        yield f"  performance is {CAVEAT}"


def _list_blocks(findings: Findings) -> Iterator[str]:
    for block in findings.blocks:
        judged = block.judged
        state = "alarm" if block.alarms else "-" if judged.unjudged else "ok"
        yield f"{judged.block}  {judged.rows:>9,} rows  {state:<5}  {judged.unjudged or f'{block.strength:.2f}'}"
        yield from (f"    {line}" for line in _describe_performance(findings, block))
        for alarm in block.alarms[:_SHOWN]:
            yield f"    {describe_alarm(alarm, block.effects.get(alarm.signal.columns))}"
        if len(block.alarms) > _SHOWN:
            yield f"    and {len(block.alarms) - _SHOWN} more"
        if block.slight:
            yield f"    {describe_slight(block)}"


def describe_alarm(alarm: Alarm, effect: Effect | None) -> str:
    """An alarm in a line."""
    weight = "" if effect is None else f"  effect {effect.mean:.2g}, importance {effect.importance:.2g}"
    return f"{alarm.signal.subject}  {alarm.strength:.2f}{weight}  {alarm.words}"


def describe_slight(block: Block) -> str:
    """Signals that do not alarm, since they move the predictions little, in a line."""
    subjects = [alarm.signal.subject for alarm in block.slight]
    more = f" and {len(subjects) - _SHOWN} more" if len(subjects) > _SHOWN else ""
    shown = ", ".join(subjects[:_SHOWN])
    return f"differ, and move the mean prediction by less than {block.min_effect:g}: {shown}{more}"


def _describe_performance(findings: Findings, block: Block) -> Iterator[str]:
    task = findings.reference.task
    if block.realised is not None and block.realised.metrics:
        yield f"realised   {_write_metrics(block.realised.metrics, task)} ({block.realised.share:.1%} of the labels)"
    elif block.estimated:
        yield f"estimated  {_write_metrics(block.estimated, task)}"
    if block.realised is not None and block.realised.maturing:
        yield f"maturing, with too few labels yet: {number_of(block.realised.maturing, 'day')}"


def _write_metrics(values: dict[str, float], task: str) -> str:
    titles = {metric.name: metric.title for metric in METRICS[task]}  # type: ignore[index]
    return ", ".join(f"{titles[name]} {write_score(value)}" for name, value in values.items() if name in titles)


def write_annotations(findings: Findings) -> str:
    """An error of GitHub Actions for each block that alarms, and a warning for each that is too small."""
    return "\n".join(_annotate(findings))


def _annotate(findings: Findings) -> Iterator[str]:
    for block in findings.blocks:
        title = f"title=treadle monitor {findings.model} {block.judged.block}"
        if block.alarms:
            told = "; ".join(
                describe_alarm(alarm, block.effects.get(alarm.signal.columns)) for alarm in block.alarms[:_SHOWN]
            )
            yield f"::error {escape_annotation(title, ',:')}::{escape_annotation(told, '')}"
        elif block.judged.unjudged:
            yield f"::warning {escape_annotation(title, ',:')}::{escape_annotation(block.judged.unjudged, '')}"
    yield f"::notice title=treadle monitor::{escape_annotation(summarize(findings), '')}"


def write_gauges(findings: Findings) -> str:
    """Gauges of the newest block that is judged, as a file in Prometheus' text format."""
    judged = [block for block in findings.blocks if block.judged.unjudged is None]
    if not judged:
        return ""
    newest = judged[-1]
    labels = {"model": findings.model, "bundle": findings.digest[:12]}
    lines = [
        *_gauge("alarm", "Whether the newest block alarms.", [(labels, float(bool(newest.alarms)))]),
        *_gauge("strength", "Its strongest signal as a share of its limit.", [(labels, newest.strength)]),
        *_gauge("rows", "Its rows.", [(labels, float(newest.judged.rows))]),
        *_gauge(
            "column_strength",
            "The strongest signal of each column as a share of its limit.",
            [({**labels, "column": name}, value) for name, value in newest.judged.strengths.items()],
        ),
        *_gauge("estimated", f"Metrics, {CAVEAT}.", _label_metrics(newest.estimated, labels)),
    ]
    done = [block for block in judged if block.realised is not None and block.realised.metrics]
    if done and done[-1].realised is not None:
        realised = done[-1].realised.metrics
        purpose = "Metrics of the newest block whose labels are there."
        lines += _gauge("realised", purpose, _label_metrics(realised, labels))
        share = done[-1].realised.prior_share
        purpose = "Its loss as a share of that of the prior."
        lines += _gauge("prior_share", purpose, [] if share is None else [(labels, share)])
    return "\n".join(lines) + "\n"


def _label_metrics(values: dict[str, float], labels: dict[str, str]) -> list[tuple[dict[str, str], float]]:
    return [({**labels, "metric": name}, value) for name, value in values.items()]


def _gauge(name: str, purpose: str, values: list[tuple[dict[str, str], float]]) -> list[str]:
    if not values:
        return []
    full = f"treadle_monitor_{name}"
    samples = [f"{full}{{{_write_labels(labels)}}} {value!r}" for labels, value in values]
    return [f"# HELP {full} {purpose}", f"# TYPE {full} gauge", *samples]


def _write_labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_quote(value)}"' for name, value in labels.items())


def _quote(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
