"""The short table at the end of a turn: the model beside its baselines, and where everything lies."""

from __future__ import annotations

import json
import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from treadle.experiment.spec import Experiment
from treadle.schema import METRICS


def print_summary(experiment: Experiment, folder: Path, *, console: Console) -> None:
    """Print the metrics of `folder/evaluation` and what to type next."""
    results = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    table = Table(title=f"{experiment.name}: test split", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for who in results:
        table.add_column(who.replace("_", " "), justify="right", style="bold" if who == "model" else "")
    for metric in METRICS[experiment.data.task]:
        arrow = "↑" if metric.higher_is_better else "↓"
        table.add_row(f"{metric.title} {arrow}", *(_show(values[metric.name]) for values in results.values()))
    console.print(table)
    records = sorted((folder / "wandb").glob("offline-run-*"))
    for what, where in (
        ("report", folder / "evaluation" / "report.html"),
        ("bundle", folder / "bundle"),
        ("W&B run", records[-1] if records else "not recorded offline"),
    ):
        console.print(f"{what:<8} {where}", soft_wrap=True, highlight=False)
    for line in (
        "",
        "next     treadle run model=mlp            another model, on the same prepared rows",
        "         treadle compare                  runs side by side",
        f"         treadle predict {folder} rows.parquet -o out.parquet",
    ):
        console.print(line, soft_wrap=True, highlight=False)


def _show(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"
