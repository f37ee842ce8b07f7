"""Out-of-fold predictions: each row predicted by a run that did not train on it, and one evaluation of all rows.

The epoch of each run was chosen on its fold, so that the metrics are a little better than on rows that nobody saw:
those of the test split, which no fold holds.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from treadle.disk import replacing, write_json
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.metrics.registry import METRICS, write_score
from treadle.schema import Task
from treadle.sweeps.answer import Row
from treadle.sweeps.ledger import Ledger, Trial
from treadle.sweeps.sweep import Sweep
from treadle.tasks import TRAITS

if TYPE_CHECKING:
    import polars as pl

    from treadle.experiment.spec import Experiment

FOLDER = "out_of_fold"  # of a sweep
PREDICTIONS, RESULT = "predictions.parquet", "metrics.json"


@dataclass(frozen=True)
class Pooled:
    """The evaluation of a setting on the rows of all folds."""

    setting: Mapping[str, str]
    task: Task
    rows: int  # that some fold validates
    folds: int
    passes: int  # how often the rows were predicted: once for each seed and repeat
    metrics: Mapping[str, float]  # each over all rows at once; the mean of the passes

    def describe(self) -> str:
        """A line."""
        names = dict.fromkeys([*(metric.name for metric in METRICS[self.task]), *self.metrics])  # the user's own last
        scores = ", ".join(f"{name} {write_score(self.metrics[name])}" for name in names)
        passes = f", mean of {self.passes} passes" if self.passes > 1 else ""
        return f"{self.rows:,} rows in {self.folds} folds{passes}: {scores}"


def write_out_of_fold(sweep: Sweep, ledger: Ledger, row: Row) -> Pooled:
    """Predict each row of the folds by the run that validated on it; write the predictions and their metrics.

    `predictions.parquet` has one line a row and pass: `row`, `seed`, `fold`, `label`, and what `treadle predict` gives.

    Args:
        sweep: over folds.
        ledger: of its trials.
        row: the setting.

    Raises:
        TreadleError: a run lacks its bundle or its examples.
    """
    import polars as pl

    from treadle.experiment.resolved import read
    from treadle.experiment.spec import Experiment

    trials = [ledger.trials[number] for number in row.trials]
    folders = [RunFolder(sweep.root / RUNS / trial.run) for trial in trials]
    experiment = read(folders[0].resolved).experiment
    assert isinstance(experiment, Experiment), "only a table's split has folds"
    frames = [_predict(folder, trial, experiment) for folder, trial in zip(folders, trials, strict=True)]
    frame = pl.concat(frames, how="diagonal_relaxed")
    traits = TRAITS[experiment.data.answer]
    outputs = traits.name_outputs(traits.read_names(frame.columns))
    frame = frame.with_columns(pl.col(outputs).fill_null(0.0))  # of a class that a fold has not trained on
    passes = list(evaluate_passes(frame, experiment))
    metrics = {name: statistics.fmean(each[name] for each in passes) for name in passes[0]}
    pooled = Pooled(
        row.setting, experiment.data.answer, frame["row"].n_unique(), frame["fold"].n_unique(), len(passes), metrics
    )
    folder = sweep.folder / FOLDER
    folder.mkdir(exist_ok=True)
    with replacing(folder / PREDICTIONS) as partial:
        frame.write_parquet(partial)
    write_json(folder / RESULT, pooled.__dict__)
    return pooled


def read_out_of_fold(sweep: Sweep, rows: Sequence[Row]) -> Pooled | None:
    """What was written of the best setting; None where nothing was, or of another setting."""
    try:
        pooled = Pooled(**json.loads((sweep.folder / FOLDER / RESULT).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return pooled if rows and pooled.setting == rows[0].setting else None


def _predict(folder: RunFolder, trial: Trial, experiment: Experiment) -> pl.DataFrame:
    import polars as pl

    from treadle.bundle import load_judged

    file = folder.examples / "valid.parquet"
    if not file.is_file():
        raise TreadleError(f"{folder.path} has no {file.name}, on which its fold is predicted; run the sweep again")
    examples = pl.read_parquet(file)
    predicted = load_judged(folder.path, targets=experiment.targets).predict(examples, on_breach="allow")
    place = {"seed": pl.lit(trial.seed), "fold": pl.lit(trial.fold)}
    return predicted.with_columns(**place, label=examples["label"])


def evaluate_passes(frame: pl.DataFrame, experiment: Experiment) -> Iterator[dict[str, float]]:
    """The metrics of each pass, the user's own, too: of one seed and one repeat, in which each row is predicted once.

    Where labels are decided by a threshold each, they are those of the pass: each fold's run has others.

    Args:
        frame: predictions, with `label`, `seed` and `fold`.
        experiment: of the runs.
    """
    import polars as pl

    from treadle.evaluation.evaluate import measure
    from treadle.features.featurize import read_target
    from treadle.training.thresholds import find_thresholds

    decides_by_f1 = experiment.evaluation.decide_by == "f1"
    per_repeat: Any = getattr(experiment.data.split, "folds", 1)
    traits = TRAITS[experiment.data.answer]
    classes = traits.read_names(frame.columns)
    outputs = traits.name_outputs(classes)
    for _, part in sorted(frame.group_by("seed", pl.col("fold") // per_repeat)):
        prediction, target = part.select(outputs).to_torch(), read_target(part, classes=classes)
        thresholds = find_thresholds(prediction.double().numpy(), target.numpy()) if decides_by_f1 else []
        yield measure(experiment, prediction if classes else prediction[:, 0], target, thresholds)
