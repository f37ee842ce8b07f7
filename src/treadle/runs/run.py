"""A run of the project as an object: its results are read when they are asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.spec import AnyExperiment

if TYPE_CHECKING:
    import polars as pl

    from treadle.bundle import Predictor
    from treadle.learners.load import LoadedLearner


@dataclass(frozen=True)
class Run:
    """A run, by its folder. What a stage has not written yet is an error that names the stage.

    >>> import treadle
    >>> run = treadle.run(["experiment=california", "model=linear"])  # doctest: +SKIP
    >>> run.metrics["rmse"]  # doctest: +SKIP
    """

    path: Path  # of the run's folder

    @property
    def name(self) -> str:
        """`<name>-<id>`."""
        return self.path.name

    @cached_property
    def experiment(self) -> AnyExperiment:
        """What was run, from its resolved.yaml."""
        return read(RunFolder(self.path).resolved).experiment

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """The model's metrics on the test split; None where one is undefined."""
        return self._results["model"]

    @cached_property
    def baselines(self) -> dict[str, dict[str, float | None]]:
        """The metrics of each baseline on the test split."""
        return {name: values for name, values in self._results.items() if name != "model"}

    @cached_property
    def _results(self) -> dict[str, dict[str, float | None]]:
        file = self._require(RunFolder(self.path).metrics, stage="evaluate")
        results: dict[str, dict[str, float | None]] = json.loads(file.read_bytes())
        return results

    @cached_property
    def history(self) -> pl.DataFrame:
        """The training and validation metrics, a row for each epoch."""
        import polars as pl

        return pl.read_csv(self._require(RunFolder(self.path).metrics_log, stage="train"))

    @cached_property
    def predictions(self) -> pl.DataFrame:
        """The model's predictions of the test split, with the number of each row."""
        import polars as pl

        return pl.read_parquet(self._require(RunFolder(self.path).evaluation / "predictions.parquet", stage="evaluate"))

    @cached_property
    def bundle(self) -> Predictor | LoadedLearner:
        """The trained model, which predicts rows: `run.bundle.predict(frame)`; a learner its batches."""
        from treadle.learners.load import load

        self._require(RunFolder(self.path).bundle, stage="train")
        return load(self.path, targets=self.experiment.targets)

    def _require(self, file: Path, *, stage: str) -> Path:
        if not file.exists():
            raise TreadleError(f"{self.path}: no {file.relative_to(self.path)}; the stage {stage} writes it")
        return file


def list_runs(root: Path) -> list[Run]:
    """The runs of a project, by name; those under way, too."""
    folders = sorted((root / RUNS).glob("[!.]*"))
    return [Run(path) for path in folders if RunFolder(path).resolved.is_file()]
