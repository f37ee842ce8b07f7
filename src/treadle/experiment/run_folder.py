"""Where a run keeps what: the one place that spells the layout of its folder.

Stages import this module, so that an edit here makes them run again: it holds names, and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

RUNS = "runs"  # of a project: its run folders
CACHE = f"{RUNS}/.stages"  # outputs of stages by signature, which runs share
BEST = "best.ckpt"  # of `model/`, and while training of `checkpoints/`: the state of the best epoch
JUDGED = "judged"  # of `model/`, where members of a blend were refitted: its bundle as it was validated
OPTIMIZER = "optimizer.pt"  # of `model/`: the state of the optimizer when the weights were those of the bundle
MODELS = "models"  # of a project: the ledgers of champions, in files *.jsonl
RESOLVED = "resolved.yaml"  # the frozen experiment; also beside a dvc.yaml


class RunFolder:
    """A folder below `runs/`, or that of DVC's pipeline (`artifacts/`): the same shape everywhere."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

        # Outputs of stages.
        self.examples: Final = path / "examples"  # of each split, in Parquet, with their schema and a summary
        self.features: Final = path / "features"  # the fitted featurizer, and the tensors of `train` and `valid`
        self.model: Final = path / "model"  # the best checkpoint, the optimizer's state, and a summary
        self.bundle: Final = path / "bundle"  # what a prediction needs, on its own
        self.metrics_log: Final = path / "metrics.csv"  # a row of training and validation metrics for each epoch
        self.validation: Final = path / "validation.json"  # validation metrics of the epoch that was kept
        self.baselines: Final = path / "baselines"  # fitted
        self.evaluation: Final = path / "evaluation"  # on the test split
        self.metrics: Final = self.evaluation / "metrics.json"  # of the model and of each baseline
        self.numbers: Final = self.evaluation / "numbers.json"  # of each further question: the numbers to compare
        self.parts: Final = self.evaluation / "parts"  # all that was found, a JSON file for each question
        self.checks: Final = self.evaluation / "checks.json"  # what was asked of the model, and what was found
        self.intervals: Final = self.evaluation / "intervals.json"  # of these metrics, and of their differences
        self.reference: Final = self.evaluation / "reference"  # what monitoring compares with
        self.plots: Final = self.evaluation / "plots"  # the model's curves, a CSV each
        self.card: Final = self.evaluation / "card.md"  # the model card
        self.report: Final = self.evaluation / "report.html"

        self.exports: Final = path / "export"  # the model as other runtimes read it, a folder for each format

        # Records of the run.
        self.resolved: Final = path / RESOLVED
        self.signatures: Final = path / "stages.json"  # of the stages that are done; DVC's folder has none
        self.digests: Final = path / "digests.json"  # of the outputs of the stages that are done
        self.log: Final = path / "run.log"  # when each stage began and ended, and why one failed
        self.overrides: Final = path / "overrides.json"  # of the command that made the run
        self.environment: Final = path / "environment.json"  # commit, versions and machine
        self.changes: Final = path / "changes.diff"  # to the commit, as a patch
        self.wandb: Final = path / "wandb"  # records of Weights & Biases, which gives the folder its name
        self.tensorboard: Final = path / "tensorboard"
        self.mlflow: Final = path / "mlflow"  # the id of the run; the record is in MLflow's own store
        self.csv: Final = path / "csv"

        # While a process is at work.
        self.lock: Final = path / ".lock"  # held by the one that writes into the folder
        self.checkpoints: Final = path / "checkpoints"  # from which an interrupted training resumes
        self.unsplit: Final = path / "unsplit"  # the examples before they are split
