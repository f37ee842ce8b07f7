"""Finished runs, read from their folders."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import AnyExperiment
from treadle.experiment.stages import CODE
from treadle.keys import list_leaves
from treadle.metrics.judge import find_monitor, name_column
from treadle.metrics.log import read_metrics_log

_SHOWN_ELSEWHERE = (
    f"{CODE}.",
    "name",
    "question",
    "model_choice",
)  # by other columns

_SECTION = re.compile(r"^(?=[a-z_]+:)", re.MULTILINE)  # where one begins in the text of a resolved.yaml

Flat = dict[str, Any]  # dotted key: value


@dataclass(frozen=True)
class Finished:
    """The results of a finished run."""

    folder: Path
    experiment: AnyExperiment
    values: Flat  # every leaf of the configuration; lists are leaves
    metrics: dict[str, float | None]  # of the model, on the test split
    epochs: list[dict[str, float]]  # the metrics of each

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def best_epoch(self) -> Mapping[str, float]:
        """The metrics of the epoch that was kept: the best by the run's own monitor."""
        return find_best_epoch(self.epochs, self.experiment)


def find_best_epoch(epochs: Sequence[Mapping[str, float]], experiment: AnyExperiment) -> Mapping[str, float]:
    """The metrics of the epoch that is kept: the best by the experiment's monitor; empty where none is a number."""
    metric = find_monitor(experiment)
    column, sign = name_column(experiment, metric.name), -1 if metric.higher_is_better else 1
    present = [row for row in epochs if not math.isnan(row.get(column, math.nan))]
    return min(present, key=lambda row: sign * row[column], default={})


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """The finished runs among folders; of a folder that is no run, those directly below it."""
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise TreadleError(f"no folder {folder}; `treadle run` makes runs, under runs/")
        is_run = RunFolder(folder).resolved.is_file()
        inside = [folder] if is_run else sorted(path for path in folder.iterdir() if path.is_dir())
        found += [path for path in inside if RunFolder(path).metrics.is_file()]
    return list(dict.fromkeys(found))


def read_run(path: Path) -> Finished:
    """Read a run folder, without the libraries that train.

    Raises:
        TreadleError: what it holds is damaged.
    """
    folder = RunFolder(path)
    resolved = read(folder.resolved)
    try:
        metrics = dict(json.loads(folder.metrics.read_bytes())["model"])
        epochs = read_metrics_log(folder.metrics_log)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise TreadleError(
            f"{path} is damaged: {type(error).__name__}: {error}; `treadle verify {path}` names the file, and the "
            "run's own command makes it again"
        ) from error
    leaves = select_shown(dict(list_leaves(resolved.values)))
    return Finished(path.resolve(), resolved.experiment, leaves, metrics, epochs)


def select_shown(leaves: Flat) -> Flat:
    """The values that tell runs apart."""
    return {key: value for key, value in leaves.items() if not key.startswith(_SHOWN_ELSEWHERE)}


def read_leaves(path: Path) -> Flat:
    """Every leaf of a resolved.yaml. A section that many runs have in common is parsed once.

    Raises:
        OSError, TreadleError: the file cannot be read.
    """
    leaves: Flat = {}
    for section in _SECTION.split(read_text(path)):
        leaves |= _parse_section(section, path.name)
    return leaves


@cache
def _parse_section(text: str, name: str) -> Flat:
    try:
        values = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TreadleError(f"{name} is not YAML: {error}") from error
    return dict(list_leaves(values)) if isinstance(values, dict) else {}
