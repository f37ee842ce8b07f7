"""A trial, in its worker: a run up to the stage `train`. It is evaluated only where somebody asks for that later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import AnyExperiment
from treadle.metrics.log import read_metrics_log
from treadle.pipeline import CodeOrigin, run
from treadle.runs.read import find_best_epoch
from treadle.sweeps.engines.engine import Report
from treadle.tracking import Membership

FUNCTION = f"{__name__}.run_trial"


def run_trial(
    *,
    report: Report,
    resolved: str,
    root: str,
    objectives: list[str],
    overrides: list[str],
    membership: dict[str, Any],
    code: CodeOrigin,
    keeps_unsplit: bool,
) -> list[float]:
    """Run a frozen experiment; gives each objective at the epoch that was kept.

    Args:
        report: takes each epoch's first objective, and may end the trial.
        resolved: path of its resolved.yaml.
        root: the project.
        objectives: columns of metrics.csv.
        overrides: from which it was composed.
        membership: fields of its place in the sweep.
        code: whether this process has loaded what the experiment was frozen with, or is to require it.
        keeps_unsplit: whether other trials differ in the split alone.
    """

    def watch(row: Mapping[str, float], step: int) -> None:  # noqa: ARG001 - as `train` calls it
        if objectives[0] in row:  # a learner may validate every other epoch only
            report(int(row["epoch"]), row[objectives[0]])

    current = run(
        read(Path(resolved)),
        root=Path(root),
        upto="train",
        notify=_print,
        watch=watch,
        code=code,
        overrides=overrides,
        membership=Membership(**membership),
        keeps_unsplit=keeps_unsplit,
    )
    return read_objectives(current.folder, current.experiment, objectives)


def read_objectives(folder: RunFolder, experiment: AnyExperiment, objectives: Sequence[str]) -> list[float]:
    """Each objective of a finished training, at the epoch that was kept.

    Raises:
        TreadleError: it logged no such metric.
    """
    best = find_best_epoch(read_metrics_log(folder.metrics_log), experiment)
    missing = next((name for name in objectives if name not in best), None)
    if missing is not None:
        logged = ", ".join(name for name in best if name not in {"epoch", "step"})
        raise TreadleError(f"sweep.objective: the training logs no {missing!r}; it logs {logged}")
    return [best[name] for name in objectives]


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - into the trial's own log
