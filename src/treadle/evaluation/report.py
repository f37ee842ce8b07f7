"""The report of an evaluation: metrics, curves and configuration as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from treadle.evaluation.conclusion import conclude, decide
from treadle.evaluation.curves import Curve, Row
from treadle.evaluation.evaluated import MODEL, Answer, Results
from treadle.evaluation.kinds import KINDS, Kind
from treadle.evaluation.uncertainty import Uncertainty
from treadle.experiment.members import count_folds
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.json_files import read_json
from treadle.lineage.graph import trace_experiment
from treadle.lineage.views import draw_svg, list_ends
from treadle.metrics.log import read_metrics_log
from treadle.metrics.registry import list_metrics
from treadle.metrics.table import tabulate
from treadle.outcomes import Finding, summarize
from treadle.pages.charts import Line, draw_chart
from treadle.pages.render import render_page


@dataclass(frozen=True)
class Findings:
    """What an evaluation found."""

    results: Results  # of the model and of each baseline
    checks: Sequence[Finding]
    curves: Mapping[str, Sequence[Curve]]  # of the model and of each baseline
    confusions: Tensor | None  # `[K, K]` rows by class and predicted class, of a multiclass task
    classes: Sequence[str]  # of a multiclass task
    parity: Mapping[str, Any]


def write_report(
    experiment: Experiment,
    *,
    findings: Findings,
    uncertainty: Uncertainty | None,
    answers: Mapping[str, Answer],
    run: str,
    folder: RunFolder,
) -> None:
    """Write `folder.report`: the same bytes for the same run, whenever and at whichever commit it is evaluated.

    (DVC knows an output by its digest. The commit and the time are in the run's `environment.json`.)
    """
    summary = read_json(folder.examples / "summary.json")
    training = read_json(folder.model / "summary.json")
    graph = trace_experiment(experiment)
    metrics = list_metrics(experiment)
    unit = "round" if "members" in training else "epoch"  # of a blend: it selects, its members learn
    page = render_page(
        "report.html.jinja",
        title=experiment.name,
        experiment=experiment,
        run=run,
        environment=folder.environment.name,
        decision=decide(findings.checks),
        conclusion=conclude(findings.results, experiment, num_rows=summary["rows"]["test"], uncertainty=uncertainty),
        checks=sorted(findings.checks, key=lambda check: check.outcome.state != "fail"),  # what failed is first
        verdict=summarize(findings.checks),
        table=tabulate(findings.results, metrics=metrics),
        candidates=list(findings.results),
        metrics=[metric.name for metric in metrics],
        uncertainty=uncertainty,
        differences=uncertainty.list_differences(metrics) if uncertainty is not None else [],
        answers=answers,
        learning=_draw_learning(folder.metrics_log, kept=training["best_epoch"], unit=unit),
        curves=[
            *(_draw(name, kind, findings.curves) for name, kind in KINDS.items() if _list_lines(name, findings.curves)),
            *(_draw_by_class(curve) for curve in findings.curves[MODEL] if curve.by_class),
        ],
        confusions=findings.confusions.tolist() if findings.confusions is not None else [],
        classes=findings.classes,
        summary=summary,
        training=training,
        folds=count_folds(experiment),
        parity=findings.parity,
        lineage=draw_svg(graph, list_ends(graph)),
        config=yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
    folder.report.write_text(page, encoding="utf-8")


def _list_lines(name: str, curves: Mapping[str, Sequence[Curve]]) -> list[Line]:
    return [
        _make_line(label.replace("_", " "), c.kind, c.rows)
        for label, found in curves.items()
        for c in found
        if c.name == name
    ]


def _make_line(label: str, kind: Kind, rows: Sequence[Row]) -> Line:
    return Line(label, [row[kind.x] for row in rows], [row[kind.y] for row in rows])


def _draw(name: str, kind: Kind, curves: Mapping[str, Sequence[Curve]]) -> str:
    pooled = next((c.pooled for found in curves.values() for c in found if c.pooled), None)
    lines, title = _list_lines(name, curves), f"{kind.title}, {pooled}" if pooled else kind.title
    return draw_chart(title=title, x=kind.x, y=kind.y, lines=lines, diagonal=kind.diagonal)


def _draw_by_class(curve: Curve) -> str:
    lines = [_make_line(name, curve.kind, rows) for name, rows in curve.by_class.items()]
    title = f"{curve.kind.title} of the model, by class"
    return draw_chart(title=title, x=curve.kind.x, y=curve.kind.y, lines=lines, diagonal=curve.kind.diagonal)


def _draw_learning(path: Path, *, kept: int, unit: str) -> str:
    rows = read_metrics_log(path)
    epochs = [row["epoch"] for row in rows]
    names = [name for name in ("train", "valid") if f"{name}/loss" in rows[0]]  # a blend has no loss of training
    lines = [Line(name, epochs, [row[f"{name}/loss"] for row in rows], marked=kept) for name in names]
    return draw_chart(title=f"Loss by {unit}", x=unit, y="loss", lines=lines)
