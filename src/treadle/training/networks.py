"""Training of networks: by Lightning, from where an interrupted training stopped."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.experiment.run_folder import BEST, OPTIMIZER, RunFolder
from treadle.experiment.spec import NO_AUGMENTATION, Experiment
from treadle.features.featurizer import Featurizer
from treadle.metrics.log import read_metrics_log
from treadle.schema import FitsInputs, Split
from treadle.targets.build import build
from treadle.tensor_files import save_whole, write_tensors
from treadle.training.additions import build_additions
from treadle.training.augmentation import Augment
from treadle.training.epochs import EpochLog, write_summary
from treadle.training.fit import fit
from treadle.training.lightning_internals import raising_interrupts
from treadle.training.metrics_log import MetricsLog
from treadle.training.optimizer_state import NO_STATE, State, flatten_state
from treadle.training.refit import refit
from treadle.training.requirements import explain_failure
from treadle.training.resume import claim_checkpoints, read_weights
from treadle.training.rows import Rows, is_refitted
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
    begin: Callable[[nn.Module], State] | None,
) -> list[Split]:
    """Train in place; the weights are those of the best epoch afterwards, or of the second training.

    `begin` gives the network its first weights, and returns the state of the optimizer; None: it keeps the random ones.

    Returns:
        The splits whose rows the weights have seen.

    Raises:
        TreadleError: the loss is not a number.
    """
    if isinstance(network, FitsInputs):
        network.fit_inputs(rows["train"].sample_numeric())
    state = NO_STATE if begin is None else begin(network)
    # As the second training begins, where there is one: the first changes both in place.
    again = copy.deepcopy((network, state)) if is_refitted(experiment) else None
    checkpoints = claim_checkpoints(folder.checkpoints, signature)
    augment = _build_augmentation(experiment, featurizer)
    shared: dict[str, Any] = {"scaling": scaling, "checkpoints": checkpoints, "augment": augment}
    additions, watching = build_additions(experiment, folder=folder), [MetricsLog(folder.metrics_log, log=log)]
    with raising_interrupts():
        fit(network, rows, experiment, callbacks=watching, additions=additions, state=state, **shared)
    best, epochs = torch.load(checkpoints / BEST, weights_only=True), read_metrics_log(folder.metrics_log)
    kept, monitor = epochs[best["epoch"]], experiment.schedule.monitor
    if not math.isfinite(kept[f"valid/{monitor}"]):
        raise TreadleError(explain_failure(rows, epochs=epochs, monitor=monitor, numeric=featurizer.numeric_names))
    refitted = None
    if again is not None:
        untrained, state = again
        with raising_interrupts():
            refitted = refit(untrained, rows, experiment, num_epochs=best["epoch"] + 1, state=state, **shared)
    summary = {
        "num_epochs": len(epochs),
        "num_steps": int(epochs[-1]["step"]),
        "num_parameters": sum(value.numel() for value in read_weights(best).values()),
        "monitor": monitor,
        "score": kept[f"valid/{monitor}"],
        **best["execution"],
        **({} if refitted is None else {"refit": refitted.describe()}),
    }
    optimizer = flatten_state(best) if refitted is None else refitted.optimizer
    _publish(folder, best, summary, kept=kept, optimizer=optimizer)
    network.load_state_dict(read_weights(best) if refitted is None else refitted.weights)
    network.eval()
    return ["train"] if refitted is None else ["train", "valid"]


def _build_augmentation(experiment: Experiment, featurizer: Featurizer) -> Augment | None:
    if experiment.augmentation["_target_"] == NO_AUGMENTATION:
        return None
    columns = {
        "numeric_columns": featurizer.numeric_columns,
        "id_columns": featurizer.id_columns,
        "images": featurizer.images,
    }
    augment: Augment = build(experiment.augmentation, key="augmentation", targets=experiment.targets, **columns)
    return augment


def _publish(
    folder: RunFolder,
    best: dict[str, Any],
    summary: Mapping[str, Any],
    *,
    kept: Mapping[str, float],
    optimizer: Mapping[str, Tensor],
) -> None:
    """Put the best epoch into the stage's output, beside the optimizer's state and a summary of the training."""
    folder.model.mkdir(parents=True, exist_ok=True)
    # Without what the callbacks remember: paths of this machine, which would make two equal trainings differ.
    save_whole({**best, "callbacks": {}, "optimizer_states": []}, folder.model / BEST)
    if optimizer:
        write_tensors(optimizer, folder.model / OPTIMIZER)
    write_summary(folder, summary, kept=kept)
