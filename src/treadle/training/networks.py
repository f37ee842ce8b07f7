"""Training of networks: by Lightning, from where an interrupted training stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import NO_AUGMENTATION, Experiment
from treadle.features.featurizer import Featurizer
from treadle.metrics.log import read_metrics_log
from treadle.schema import FitsInputs
from treadle.targets.build import build
from treadle.tensor_files import save_whole
from treadle.training.additions import build_additions
from treadle.training.augmentation import Augment
from treadle.training.epochs import EpochLog, write_summary
from treadle.training.fit import fit
from treadle.training.lightning_internals import raising_interrupts
from treadle.training.metrics_log import MetricsLog
from treadle.training.requirements import explain_failure
from treadle.training.resume import BEST, claim_checkpoints
from treadle.training.rows import Rows
from treadle.training.scaling import Scaling


def train_network(
    network: nn.Module,
    rows: Mapping[str, Rows],
    experiment: Experiment,
    *,
    scaling: Scaling,
    featurizer: Featurizer,
    folder: RunFolder,
    signature: str,
    log: EpochLog,
    begin: Callable[[nn.Module], None] | None,
) -> None:
    """Train in place; the weights are those of the best epoch afterwards.

    `begin` gives the network its first weights; None: it keeps the random ones.

    Raises:
        TreadleError: the loss is not a number.
    """
    if isinstance(network, FitsInputs):
        network.fit_inputs(rows["train"].sample_numeric())
    if begin is not None:
        begin(network)
    with raising_interrupts():
        fit(
            network,
            rows,
            experiment,
            scaling=scaling,
            checkpoints=claim_checkpoints(folder.checkpoints, signature),
            callbacks=[MetricsLog(folder.metrics_log, log=log)],
            additions=build_additions(experiment, folder=folder),
            augment=_build_augmentation(experiment, featurizer),
        )
    monitor, names = experiment.schedule.monitor, featurizer.numeric_names
    network.load_state_dict(_publish(folder, rows, monitor=monitor, numeric=names))
    network.eval()


def _build_augmentation(experiment: Experiment, featurizer: Featurizer) -> Augment | None:
    if experiment.augmentation["_target_"] == NO_AUGMENTATION:
        return None
    columns = {"numeric_columns": featurizer.numeric_columns, "id_columns": featurizer.id_columns}
    augment: Augment = build(experiment.augmentation, key="augmentation", targets=experiment.targets, **columns)
    return augment


def _publish(
    folder: RunFolder, rows: Mapping[str, Rows], *, monitor: str, numeric: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Put the best epoch into the stage's output, beside a summary of the training; return its weights.

    Raises:
        TreadleError: no epoch's score is a number.
    """
    checkpoints, model, epochs = folder.checkpoints, folder.model, read_metrics_log(folder.metrics_log)
    saved = torch.load(checkpoints / BEST, weights_only=True)
    kept = epochs[saved["epoch"]]
    score = kept[f"valid/{monitor}"]
    if not math.isfinite(score):
        raise TreadleError(explain_failure(rows, epochs=epochs, monitor=monitor, numeric=numeric))
    # A loss of the user's may have state of its own.
    own = {name: value for name, value in saved["state_dict"].items() if name.startswith("network.")}
    weights = {name.removeprefix("network."): value for name, value in own.items()}
    model.mkdir(parents=True, exist_ok=True)
    # Without what the callbacks remember: paths of this machine, which would make two equal trainings differ.
    save_whole({**saved, "callbacks": {}}, model / BEST)
    summary = {
        "num_epochs": len(epochs),
        "num_steps": int(epochs[-1]["step"]),
        "num_parameters": sum(value.numel() for value in weights.values()),
        "monitor": monitor,
        "score": score,
        **saved["execution"],
    }
    write_summary(folder, summary, kept=kept)
    return weights
