"""An evaluation of predictions that a test makes, beside rows that it writes."""

from types import SimpleNamespace

import torch

from treadle.evaluation.evaluated import Evaluated
from treadle.experiment.run_folder import RunFolder


def make_evaluated(experiment, folder, *, rows, target, **predictions):
    """Of the test split `rows`; `model=...` and baselines as arrays."""
    run = RunFolder(folder)
    run.examples.mkdir(parents=True)
    rows.write_parquet(run.examples / "test.parquet")
    card = SimpleNamespace(thresholds=[])
    bundle = SimpleNamespace(task=experiment.data.task, classes=[], private=[], card=card)
    tensors = {name: torch.from_numpy(values) for name, values in predictions.items()}
    return Evaluated(experiment, run, bundle, tensors, torch.from_numpy(target), results={}, parity={})
