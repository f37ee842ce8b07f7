"""The stage `evaluate` of a learner of the user's own: its `test_step` on its `test_dataloader`."""

from __future__ import annotations

import json
import math
from typing import Any

import polars as pl
import yaml

from treadle.disk import write_json
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import LearnerExperiment
from treadle.learners.build import Workshop, make_trainer, open_workshop, reporting_mistakes
from treadle.learners.bundle import WEIGHTS
from treadle.learners.idle import FILE
from treadle.metrics.judge import find_monitor, list_tested
from treadle.metrics.log import read_metrics_log
from treadle.metrics.registry import write_score
from treadle.metrics.table import tabulate
from treadle.pages.charts import Line, draw_chart
from treadle.pages.render import render_page
from treadle.profiles.reference import write_no_reference

_AXES = ("epoch", "step")


def evaluate(experiment: LearnerExperiment, *, folder: RunFolder, run: str) -> None:
    """Write `folder.evaluation`: metrics.json, with what the test logs, and report.html.

    A learner without `test_step`, or without a test split, has no test metrics. Where a table has predictions, parity,
    checks and plots, an empty file says that there are none.

    Args:
        experiment: checked.
        folder: of the run.
        run: its name, `<name>-<id>`, for the report.
    """
    workshop = open_workshop(experiment, folder=folder)
    is_tested = workshop.defines("test_step") and workshop.gives("test_dataloader")
    found = _test(workshop, experiment, folder) if is_tested else {}
    for made in (folder.plots, folder.parts):
        made.mkdir(parents=True, exist_ok=True)
    finite = {name: value if math.isfinite(value) else None for name, value in found.items()}
    folder.metrics.write_text(json.dumps({"model": finite}, indent=2) + "\n", encoding="utf-8")
    reason = "An experiment of a learner has none."
    write_json(folder.plots / FILE, {"stage": "evaluate", "reason": reason})
    write_json(folder.evaluation / "parity.json", {"rows": 0, "reason": reason})
    write_json(folder.checks, {})
    write_json(folder.intervals, {})
    write_json(folder.numbers, {})
    folder.card.write_text(f"# {experiment.name}\n\nA learner of your own has no model card yet.\n", encoding="utf-8")
    write_json(folder.parts / FILE, {"stage": "evaluate", "reason": reason})
    write_no_reference(folder.reference)
    pl.DataFrame(schema={"row": pl.Int64}).write_parquet(folder.evaluation / "predictions.parquet")
    _write_report(experiment, found, folder=folder, run=run)


def _test(workshop: Workshop, experiment: LearnerExperiment, folder: RunFolder) -> dict[str, float]:
    """What the test logs; by one process, so that no row is counted twice."""
    weights, data = folder.bundle / WEIGHTS, workshop.datamodule
    with reporting_mistakes():
        trainer = make_trainer(workshop, experiment, devices=1)
        trainer.test(workshop.learner, datamodule=data, ckpt_path=weights, weights_only=True, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _write_report(experiment: LearnerExperiment, found: dict[str, float], *, folder: RunFolder, run: str) -> None:
    """The same bytes for the same run, whenever it is evaluated."""
    training = json.loads((folder.model / "summary.json").read_text(encoding="utf-8"))
    page = render_page(
        "learner.html.jinja",
        title=experiment.name,
        experiment=experiment,
        run=run,
        environment=folder.environment.name,
        conclusion=_conclude(experiment, found, training),
        table=tabulate({"model": found}, metrics=list_tested(experiment, found)),
        charts=_draw_learning(folder, best_epoch=training["best_epoch"]),
        training=training,
        config=yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
    folder.report.write_text(page, encoding="utf-8")


def _conclude(experiment: LearnerExperiment, found: dict[str, float], training: dict[str, Any]) -> str:
    judged = f"{find_monitor(experiment).title} {write_score(training['score'])} in epoch {training['best_epoch']}"
    tested = ", ".join(f"{name} {write_score(value)}" for name, value in found.items())
    return f"{judged}; {tested or 'the learner has no test'}."


def _draw_learning(folder: RunFolder, *, best_epoch: int) -> list[str]:
    """A chart for each metric that the training logged."""
    rows = read_metrics_log(folder.metrics_log)
    epochs = [row["epoch"] for row in rows]
    names = [name for name in rows[0] if name not in _AXES]
    return [
        draw_chart(
            title=name, x="epoch", y=name, lines=[Line(name, epochs, [row[name] for row in rows], marked=best_epoch)]
        )
        for name in names
    ]
