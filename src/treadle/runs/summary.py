"""The table at the end of an evaluation: metrics of the model and its baselines, and the paths of the results."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from treadle.console import Console
from treadle.evaluation.judge import read_findings
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.spec import AnyExperiment, Experiment, LearnerExperiment
from treadle.metrics.judge import list_tested
from treadle.metrics.table import tabulate
from treadle.targets.readers import find_reader
from treadle.targets.signatures import read_constant
from treadle.tracking import locate_record

_COMPARE = ("treadle compare", "runs side by side")
_SHOW = ("dvc exp show", "experiments side by side")
_MODEL = "model="  # beginning of the override that selects a network


def print_summary(
    experiment: AnyExperiment, folder: RunFolder, *, records: RunFolder, overrides: Sequence[str], console: Console
) -> None:
    """Print the metrics of `folder` with the best of each marked, the checks that block it, and suggested commands.

    Args:
        experiment: that was evaluated.
        folder: of the run, or of the pipeline.
        records: the folder of the tracker's record.
        overrides: that were typed for it.
        console: prints the text.
    """
    results = json.loads(folder.metrics.read_text(encoding="utf-8"))
    console.print(
        _make_table(experiment, results) if results["model"] else f"{experiment.name}: the learner has no test"
    )
    for finding in read_findings(folder.checks):
        if finding.blocks:
            line = f"blocked  {finding.code}: {finding.outcome.sentence}"
            console.print(line, soft_wrap=True, highlight=False, markup=False)
    for what, where in (
        ("report", folder.report),
        ("bundle", folder.bundle),
        locate_record(records, settings=experiment.tracker),
    ):
        console.print(f"{what:<8} {where}", soft_wrap=True, highlight=False, markup=False)
    steps = list_next_steps(experiment, folder.path, overrides=overrides)
    width = max(len(command) for command, _ in steps)
    console.print()
    for index, (command, purpose) in enumerate(steps):
        line = f"{'' if index else 'next':<8} {command:<{width}}   {purpose}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _make_table(experiment: AnyExperiment, results: dict[str, Any]) -> Table:
    """A row a metric of the test split."""
    scores = tabulate(results, metrics=list_tested(experiment, results["model"]))
    table = Table(title=f"{experiment.name}: test split", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for column in scores.columns:
        table.add_column(column, justify="right", style="bold" if column == "model" else "")
    for row in scores.rows:
        table.add_row(row.title, *(cell.to_markup() for cell in row.cells))
    return table


def list_next_steps(experiment: AnyExperiment, folder: Path, *, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Useful next commands, each with its purpose; none repeats the one just run."""
    if isinstance(experiment, LearnerExperiment):
        return _list_steps_of_seed(experiment, folder, overrides=overrides)
    return _list_steps_of_table(experiment, folder, overrides=overrides)


def _list_steps_of_seed(experiment: AnyExperiment, folder: Path, *, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Of a network that no other one stands beside."""
    seed = f"seed={experiment.seed + 1}"
    if folder.parent.name != RUNS:
        return [(f"dvc exp run -S ++set.{seed}", "another seed, as an experiment of DVC"), _SHOW]
    kept = [word for word in overrides if not word.startswith("seed=")]
    steps = [(shlex.join(["treadle", "run", *kept, seed]), "another seed")]
    return [*steps, _COMPARE] if _has_others(folder) else steps


def _has_others(folder: Path) -> bool:
    return sum(1 for _ in folder.parent.glob("*/evaluation/metrics.json")) > 1


def _changes_model(override: str) -> bool:
    """Whether an override selects the model, or sets, adds or takes away a part of it: `~model.members.mlp`."""
    key, _, package = override.lstrip("+~").partition("=")[0].partition("@")
    return (package or key).partition(".")[0] == "model"


def _list_steps_of_table(experiment: Experiment, folder: Path, *, overrides: Sequence[str]) -> list[tuple[str, str]]:
    if _reads_raw(experiment):
        return [*_list_steps_of_seed(experiment, folder, overrides=overrides), _describe_predict(folder)]
    is_linear = isinstance(experiment.model, dict) and str(experiment.model["_target_"]).endswith(".Linear")
    other = "mlp" if is_linear else "linear"
    if folder.parent.name == RUNS:
        kept = [word for word in overrides if not _changes_model(word)]
        again = shlex.join(["treadle", "run", *kept, f"{_MODEL}{other}"])
        steps = [(again, "another model, on the same prepared rows")]
        if _has_others(folder):
            steps.append(_COMPARE)
    else:
        steps = [
            (f"dvc exp run -S {_MODEL}{other}", "another model, as an experiment of DVC, on the same prepared rows")
        ]
        steps.append(_SHOW)
    return [*steps, _describe_predict(folder)]


def _describe_predict(folder: Path) -> tuple[str, str]:
    return f"treadle predict {folder} rows.parquet -o out.parquet", "predictions for the rows of a file"


def _reads_raw(experiment: Experiment) -> bool:
    """Whether the network reads images or texts, which a linear model or a perceptron does not."""
    return (
        isinstance(experiment.model, dict)
        and read_constant(find_reader(experiment.network)["_target_"], "READS") is not None
    )
