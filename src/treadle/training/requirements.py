"""What training needs of its rows, checked before the first step; and why a training failed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.experiment.spec import Experiment
from treadle.metrics.compute import compute_metrics
from treadle.schema import Batch
from treadle.tasks import TRAITS
from treadle.training.calibrate import require_calibration
from treadle.training.rows import Rows
from treadle.training.scores import NUM_BINS, THRESHOLD
from treadle.training.snapshot import Snapshot

LARGE = 1e4  # input that no step has scaled


def require_rows(rows: Mapping[str, Rows], *, experiment: Experiment) -> None:
    """Check what the splits must have, class weights included.

    Raises:
        TreadleError: no row of a split counts, the monitored metric is not defined on the validation split, or that
            split has too few rows for the calibration that is named.
    """
    for split in ("train", "valid"):
        if not sum(float(weight.double().sum()) for _, weight in rows[split].read_targets()) > 0:
            raise TreadleError(
                f"loss.class_weights: no row of {split} counts: its weights sum to 0; give a weight above 0 to a class "
                "that it holds"
            )
    task, monitor = experiment.data.answer, experiment.schedule.monitor
    if not TRAITS[task].is_value:
        _require_calibration(rows["valid"], experiment)
    if task == "multiclass" or monitor == "loss" or monitor in experiment.metrics:
        return
    target = torch.cat([target for target, _ in rows["valid"].read_targets()])
    guess = torch.full_like(target, 0.5)
    metrics = compute_metrics(task=task, prediction=guess, target=target, threshold=THRESHOLD, num_bins=NUM_BINS)
    if math.isnan(metrics[monitor]):
        state = "row is" if len(target) == 1 else "rows is always"
        reason = f"the label of its {len(target):,} {state} {float(target[0]):g}"
        if TRAITS[task].is_value:  # the label is scaled here, and its value nothing that the user knows
            reason = "it holds 1 row"
        raise TreadleError(
            f"schedule.monitor: {monitor} is not defined on the validation split: {reason}; monitor the loss, or "
            "split otherwise in data.split"
        )


def _require_calibration(valid: Rows, experiment: Experiment) -> None:
    """After the training, when the calibration is fitted, the error would come too late."""
    target = torch.cat([target for target, _ in valid.read_targets()])
    for own in target.unbind(dim=1) if target.dim() > 1 else [target[target >= 0]]:
        require_calibration(own.numpy(), experiment)


def find_min_rows(network: nn.Module, rows: Mapping[str, Rows], *, batch_size: int, num_processes: int) -> int:
    """Rows of a batch that a process needs at least: 2 where the network learns from their spread, as BatchNorm does.

    The network is tried only where a batch would leave a process with a single row.

    Raises:
        TreadleError: it would in every batch.
    """
    num_rows, pair = rows["train"].num_rows, 2 * num_processes
    every, last = min(num_rows, batch_size) < pair, 0 < num_rows % batch_size < pair
    if not (every or last) or _takes_one_row(network, rows["train"].take_first(1)):
        return 1
    if every:
        raise TreadleError(
            "schedule.batch_size: the network trains on no batch of a single row, as one with BatchNorm does not; "
            f"found batches of {batch_size} for {num_rows:,} rows and {num_processes} processes"
        )
    return 2


def _takes_one_row(network: nn.Module, rows: Batch) -> bool:
    """Whether the network can train on one row, with a finite output; it is left as it was."""
    state = [*network.parameters(), *network.buffers()]
    before, training = Snapshot(state or [rows.numeric]), network.training
    try:
        with warnings.catch_warnings(action="ignore"):  # that one row has no deviation
            return bool(network.train()(*rows.inputs).isfinite().all())
    except (ValueError, RuntimeError):  # torch's "Expected more than 1 value per channel when training"
        return False
    finally:
        before.restore()
        network.train(training)


def explain_failure(
    rows: Mapping[str, Rows], *, epochs: Sequence[dict[str, float]], monitor: str, numeric: Sequence[str]
) -> str:
    """Why the monitored metric is a number in no epoch.

    Args:
        rows: as training had them.
        epochs: the metrics of each.
        monitor: the metric.
        numeric: name of each numeric input.
    """
    score = epochs[-1][f"valid/{monitor}"]
    failure = f"schedule: the validation {monitor} is {score} in every epoch"
    if math.isfinite(epochs[-1]["train/loss"]) and math.isfinite(epochs[-1]["valid/loss"]):
        return f"{failure}, though the losses are numbers: monitor another metric in schedule.monitor"
    largest = _find_largest(rows["train"].sample_numeric())
    if largest is not None and largest[1] > LARGE:
        place, size = largest
        return f"{failure}; the input {numeric[place]!r} is as large as {size:.3g}: scale it by a step of its block"
    return f"{failure}; lower schedule.optimizer.lr"


def _find_largest(numeric: Tensor) -> tuple[int, float] | None:
    if not numeric.numel():
        return None
    sizes = numeric.abs().amax(dim=0)
    return int(sizes.argmax()), float(sizes.max())
