"""The reference that later monitoring compares with: profiles of the training split, and performance on new rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from treadle.data.casting import is_countable
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.experiment.blocks import list_example_columns
from treadle.experiment.spec import Data, Experiment, MonitoringReference
from treadle.metrics.compute import compute_metrics
from treadle.profiles.blocks import Blocking, settle_blocking
from treadle.profiles.calendar import find_calendar
from treadle.profiles.calibration import fit_calibration
from treadle.profiles.cells import Cells, fit_cells
from treadle.profiles.losses import LossModel, fit_losses
from treadle.profiles.profile import BLOCK, count_rows
from treadle.profiles.realised import relate_to_prior
from treadle.profiles.reference import PRIVATE, Performance, Reference, write_no_reference
from treadle.schema import LABEL, PREDICT_AT
from treadle.tasks import PREDICTION, TRAITS

Floats = NDArray[np.float64]

_BINS = 20  # of its values
_METRIC_BINS = 15  # of the calibration error
_MIN_SHARE = 0.5  # of the rows of a usual block, below which its loss is left out
_MAX_ROWS = 100_000  # of the test split, from which the losses of a regression are learned


def write_reference(evaluated: Evaluated) -> None:
    """Write `folder.reference`, which is empty if `evaluation.reference` is null."""
    settings = evaluated.experiment.evaluation.reference
    folder = evaluated.folder.reference
    if settings is None:
        write_no_reference(folder)
    else:
        make_reference(evaluated, settings).write(folder)


def make_reference(evaluated: Evaluated, settings: MonitoringReference) -> Reference:
    """Count the training split by block, and learn from the test split what estimates performance."""
    rows, experiment = evaluated.read_rows("train"), evaluated.experiment
    counted = count_reference(rows, experiment, settings, private=evaluated.bundle.private)
    time = PREDICT_AT if experiment.data.examples.predict_at is not None else None
    learned = _learn_performance(evaluated, counted.columns)
    return replace(counted, performance=replace(learned, shares=_measure_shares(evaluated, counted.blocking, time)))


def count_reference(
    rows: pl.LazyFrame, experiment: Experiment, settings: MonitoringReference, *, private: Iterable[str]
) -> Reference:
    """The reference of training rows, which says nothing of performance.

    Args:
        rows: of the training split.
        experiment: that they are of.
        settings: what is counted, and in which blocks.
        private: columns that are never monitored.
    """
    data = experiment.data
    num_rows = rows.select(pl.len()).collect().item()
    time = PREDICT_AT if data.examples.predict_at is not None else None
    blocking = settle_blocking(settings.blocks, rows, num_rows=num_rows, time=time)
    ignored = _find_ignored(rows, data, settings=settings, time=time, private=private)
    names = [name for name in list_example_columns(data) if name not in ignored]
    columns = tuple(fit_cells(rows, name, bins=settings.bins, top=settings.top) for name in names)
    num_paired = min(settings.pairs, len(columns))
    named = blocking.name_reference(rows, num_rows=num_rows, time=time)
    return Reference(
        task=data.answer,
        blocking=blocking,
        columns=columns,
        ignored=ignored,
        num_paired=num_paired,
        profile=count_rows(named, columns, num_paired=num_paired),
        performance=Performance({}, experiment.evaluation.threshold, None, None, {}),
    )


def _find_ignored(
    rows: pl.LazyFrame, data: Data, *, settings: MonitoringReference, time: str | None, private: Iterable[str]
) -> dict[str, str]:
    """The columns of the examples that are not monitored, with the reason."""
    schema, names = rows.collect_schema(), list_example_columns(data)
    ignored = {name: "a moment: it never comes again" for name in names if schema[name].is_temporal()}
    ignored |= {name: "its values cannot be counted" for name in names if not is_countable(schema[name])}
    others = [name for name in names if name not in ignored]
    if time is not None:
        ignored |= dict.fromkeys(find_calendar(rows, others, time=time), "the calendar: it has one value on each day")
    return ignored | dict.fromkeys(settings.ignore, "evaluation.reference.ignore") | dict.fromkeys(private, PRIVATE)


def _learn_performance(evaluated: Evaluated, columns: tuple[Cells, ...]) -> Performance:
    prediction, target = evaluated.predictions[MODEL], evaluated.target
    metrics, threshold = evaluated.results[MODEL], evaluated.threshold
    if TRAITS[evaluated.task].is_value:
        cells, losses = _learn_losses(evaluated, columns)
        return Performance(metrics, threshold, None, cells, losses)
    if not len(target) or evaluated.task == "multilabel":  # whose labels need not be calibrated as one
        return Performance(metrics, threshold, None, None, {})
    score, hit = read_scores(prediction, target)
    return Performance(metrics, threshold, fit_calibration(score, hit), None, {})


def _measure_shares(evaluated: Evaluated, blocking: Blocking, time: str | None) -> dict[str, float]:
    """The loss of each block of the test split as a share of its prior's, of blocks of a usual size."""
    rows = evaluated.test.select([time] if time is not None else [LABEL])
    named = blocking.name_reference(rows, num_rows=len(evaluated.target), time=time).select(BLOCK).collect()[BLOCK]
    numbered = named.to_frame().with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    parts = {
        str(block): torch.from_numpy(part["place"].to_numpy(writable=True))
        for (block,), part in numbered.group_by(BLOCK, maintain_order=True)
    }
    usual = np.median([len(part) for part in parts.values()]) if parts else 0
    prediction, target, name = evaluated.predictions[MODEL], evaluated.target, TRAITS[evaluated.task].loss_metric
    shares = {}
    for block, part in sorted(parts.items()):
        if len(part) >= _MIN_SHARE * usual:
            asked, of = prediction[part], target[part]
            metrics = compute_metrics(
                task=evaluated.task,
                prediction=asked,
                target=of,
                threshold=evaluated.threshold,
                num_bins=_METRIC_BINS,
            )
            shares[block] = relate_to_prior(metrics[name], of.numpy(), task=evaluated.task)
    return {block: share for block, share in shares.items() if np.isfinite(share)}


def read_scores(prediction: Tensor, target: Tensor) -> tuple[Floats, Floats]:
    """The score of each row and whether what it speaks of came true: the positive class, or the predicted one."""
    if prediction.ndim == 1:
        return prediction.double().numpy(), target.double().numpy()
    best = prediction.max(dim=1)
    return best.values.double().numpy(), (best.indices == target).double().numpy()


def _learn_losses(evaluated: Evaluated, columns: tuple[Cells, ...]) -> tuple[Cells | None, Mapping[str, LossModel]]:
    """Models of the squared and of the absolute error, and the cells of the predictions that they ask for."""
    prediction = evaluated.predictions[MODEL].double()
    step = max(1, -(-len(prediction) // _MAX_ROWS))
    names = [column.name for column in columns]
    rows = evaluated.test.select(names).gather_every(step).collect()
    if rows.is_empty():
        return None, {}
    errors = (prediction - evaluated.target.double())[::step].numpy()
    rows = rows.with_columns(pl.Series(PREDICTION, prediction[::step].numpy()))
    cells = fit_cells(rows.lazy(), PREDICTION, bins=_BINS, top=0)
    return cells, fit_losses(rows, (*columns, cells), {"squared": errors**2, "absolute": np.abs(errors)})
