"""One self-contained HTML page that says how good the model is, and how it was judged."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from treadle.evaluation.charts import Line, draw_chart
from treadle.evaluation.curves import Curve
from treadle.experiment.lineage import trace_experiment
from treadle.experiment.lineage_views import draw_svg, list_ends
from treadle.experiment.spec import Experiment
from treadle.schema import METRICS

Results = dict[str, dict[str, float]]  # who: metric: value


def write_report(
    experiment: Experiment, *, results: Results, curves: Sequence[Curve], parity: dict[str, Any], folder: Path
) -> None:
    """Write `folder/evaluation/report.html`."""
    summary = json.loads((folder / "examples" / "summary.json").read_text(encoding="utf-8"))
    training = json.loads((folder / "model" / "summary.json").read_text(encoding="utf-8"))
    graph = trace_experiment(experiment)
    page = render_page(
        "report.html.jinja",
        title=experiment.name,
        experiment=experiment,
        table=tabulate(results, experiment),
        charts=[*_draw_learning(folder / "metrics.csv"), *(_draw(curve) for curve in curves)],
        summary=summary,
        training=training,
        parity=parity,
        lineage=draw_svg(graph, list_ends(graph)),
        config=yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
    (folder / "evaluation" / "report.html").write_text(page, encoding="utf-8")


def tabulate(results: Results, experiment: Experiment) -> dict[str, Any]:
    """Metrics as rows, who as columns, the best of each row marked."""
    rows = []
    for metric in METRICS[experiment.data.task]:
        values = [results[who][metric.name] for who in results]
        best = (max if metric.higher_is_better else min)((v for v in values if v == v), default=None)  # noqa: PLR0124 - NaN
        cells = [{"text": f"{value:.4f}", "best": value == best} for value in values]
        rows.append({"title": metric.title, "up": metric.higher_is_better, "cells": cells})
    return {"columns": list(results), "rows": rows}


def render_page(template: str, **values: Any) -> str:
    """Fill a template of this folder; every value is escaped, only drawings (made here) are not."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _draw(curve: Curve) -> str:
    line = Line("model", [row[curve.x] for row in curve.rows], [row[curve.y] for row in curve.rows])
    diagonal = curve.name in {"roc", "calibration"}
    return draw_chart(title=curve.title, x=curve.x, y=curve.y, lines=[line], diagonal=diagonal)


def _draw_learning(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    epochs = [row["epoch"] for row in rows]
    lines = [Line(name, epochs, [row[f"{name}/loss"] for row in rows]) for name in ("train", "valid")]
    return [draw_chart(title="Learning", x="epoch", y="loss", lines=lines)]
