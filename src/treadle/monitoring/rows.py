"""What the rows of a log say of each block besides their counts: effects of alarms, predictions, and performance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from treadle.monitoring.charts import Judged
from treadle.monitoring.effect import MAX_ALARMS, NUM_ROWS, measure_effects
from treadle.monitoring.estimate import estimate_binary, estimate_multiclass
from treadle.monitoring.findings import Effects
from treadle.monitoring.labels import NO_OUTCOME, Realised, name_day, realise
from treadle.monitoring.log import Log
from treadle.monitoring.settings import Settings
from treadle.profiles.profile import BLOCK
from treadle.profiles.reference import Reference
from treadle.schema import LABEL
from treadle.tasks import TRAITS

if TYPE_CHECKING:
    from treadle.bundle import Predictor

_SEED = 0  # of the draws that measure effects


@dataclass(frozen=True)
class Measured:
    """By block; empty where there are no rows, but counts alone."""

    effects: dict[str, Effects] = field(default_factory=dict)  # of its alarms' subjects
    means: dict[str, float] = field(default_factory=dict)  # of the predictions of a regression or a binary task
    estimated: dict[str, dict[str, float]] = field(default_factory=dict)  # metrics of a classification
    realised: dict[str, Realised] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what could not be told, and why
    absent: list[str] = field(default_factory=list)  # columns of the reference that the log does not have


def measure_rows(
    log: Log,
    rows: pl.LazyFrame,
    *,
    judged: Sequence[Judged],
    kept: Reference,
    load: Callable[[], Predictor] | None,
    settings: Settings,
) -> Measured:
    """Measure what the rows say.

    Args:
        log: that they are from.
        rows: in the types of the reference, with `BLOCK`, and as `join_labels` where there are labels.
        judged: their blocks.
        kept: the reference of the columns that the log has.
        load: gives the bundle, which weighs alarms; None: they are not weighed.
        settings: how they are judged.
    """
    most = None if settings.min_effect > 0 else MAX_ALARMS  # each has to be known, where slight ones do not alarm
    effects, unweighed = _weigh(judged, rows, load=load, reference=kept, most=most)
    means, estimated, notes = _estimate(log, rows, reference=kept)
    is_labelled = LABEL in rows.collect_schema()
    realised = _realise(log, rows, reference=kept, min_share=settings.min_share) if is_labelled else {}
    return Measured(effects, means, estimated, realised, [*unweighed, *notes])


def _weigh(
    judged: Sequence[Judged],
    rows: pl.LazyFrame,
    *,
    load: Callable[[], Predictor] | None,
    reference: Reference,
    most: int | None,
) -> tuple[dict[str, Effects], list[str]]:
    """The effects of the alarms of each block, and why there are none."""
    alarmed = [found for found in judged if found.alarms]
    if load is None or not alarmed:
        return {}, []
    bundle, effects = load(), {}
    held = rows.collect_schema()
    if lacking := [name for name in bundle.card.columns if name not in held]:
        return {}, [f"no alarm is weighed by its effect: the model reads {', '.join(lacking)}, which the log lacks"]
    for found in alarmed:
        step = max(1, found.rows // NUM_ROWS)
        sample = rows.filter(pl.col(BLOCK) == found.block).gather_every(step).head(NUM_ROWS).collect()
        effects[found.block] = measure_effects(
            found.alarms[:most], sample, bundle=bundle, reference=reference, seed=_SEED
        )
    return effects, []


def _estimate(
    log: Log, rows: pl.LazyFrame, *, reference: Reference
) -> tuple[dict[str, float], dict[str, dict[str, float]], list[str]]:
    """The mean prediction and the estimated metrics of each block, and why there are none."""
    if not log.reading.outputs:
        told = ["the log holds no predictions: no performance is estimated"]
        return {}, {}, [] if TRAITS[reference.task].is_value else told  # of a regression the counts say it
    performance = reference.performance
    outputs = log.reading.outputs
    given = rows.select(BLOCK, *outputs).drop_nulls().collect()
    predicted = given.filter(_is_finite(log))
    lost = len(given) - len(predicted)
    notes = [f"{lost:,} predictions are not finite, and are left out of the performance"] if lost else []
    parts = {str(block): part for (block,), part in predicted.partition_by(BLOCK, as_dict=True).items()}
    means = {block: float(part[outputs[0]].cast(pl.Float64).mean()) for block, part in parts.items()}  # type: ignore[arg-type]
    if TRAITS[reference.task].is_value:
        return means, {}, notes  # its performance follows from the counts
    if reference.task == "multilabel":
        return {}, {}, [*notes, "no performance of several labels is estimated: it is realised where labels come"]
    assert performance.calibration is not None or not len(performance.metrics), "it is fitted with the reference"
    estimated = {}
    for block, part in parts.items():
        scores = part.select(outputs).to_numpy().astype(np.float64)
        if performance.calibration is None:
            continue
        if reference.task == "binary":
            assert isinstance(performance.threshold, float), "several labels have left above"
            estimated[block] = estimate_binary(
                scores[:, 0], calibration=performance.calibration, threshold=performance.threshold
            )
        else:
            estimated[block] = estimate_multiclass(scores, calibration=performance.calibration)
    return {} if reference.task == "multiclass" else means, estimated, notes


def _is_finite(log: Log) -> pl.Expr:
    """Whether a row has predictions that are numbers."""
    return pl.all_horizontal(pl.col(log.reading.outputs).is_finite())


def _realise(log: Log, rows: pl.LazyFrame, *, reference: Reference, min_share: float) -> dict[str, Realised]:
    outputs = log.reading.outputs
    if not outputs:
        return {}
    coming = rows.filter(~pl.col(NO_OUTCOME))
    wanted = coming.select(BLOCK, name_day(log.reading.time), LABEL, *outputs).drop_nulls([BLOCK, *outputs])
    return realise(
        wanted.filter(_is_finite(log)).collect(),
        task=reference.task,
        outputs=outputs,
        threshold=reference.performance.threshold,
        min_share=min_share,
    )
