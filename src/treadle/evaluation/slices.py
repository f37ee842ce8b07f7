"""Slices of the test split: the declared ones with their metrics, and the worst that a search confirms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.evaluation.comparison import SEED, make_resampling, make_scoring
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.intervals import Array, Measured, resample
from treadle.evaluation.scores import compute_losses
from treadle.evaluation.worst_slices import Parts, WorstSlice, compute_excess, cut_columns, find_worst_slices
from treadle.experiment.blocks import list_example_columns


@dataclass(frozen=True)
class DeclaredSlice:
    """The rows of one value, or one range, of a declared column."""

    name: str  # such as `origin = JFK`
    rows: int
    metrics: Mapping[str, Measured | None]  # None: it is not defined there, such as an AUC of one class


@dataclass(frozen=True)
class SliceFindings:
    """What was found in the slices of a test split."""

    declared: Sequence[DeclaredSlice]
    worst: Sequence[WorstSlice]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "declared": {
                one.name: {
                    "rows": one.rows,
                    **{name: None if found is None else found.to_plain() for name, found in one.metrics.items()},
                }
                for one in self.declared
            },
            "worst": [
                {
                    "conditions": [str(condition) for condition in one.conditions],
                    "rows": one.rows,
                    "loss": one.loss,
                    "excess": {"value": one.excess, "low": one.low, "high": one.high},
                    "confirmed": one.confirmed,
                }
                for one in self.worst
            ],
        }

    def to_numbers(self) -> dict[str, float]:
        """How many of the worst slices are beyond chance, and the excess of the loss in the worst of them."""
        confirmed = [one.excess for one in self.worst if one.confirmed]
        return {"confirmed": float(len(confirmed)), "largest_excess": max(confirmed, default=0.0)}


def find_slices(evaluated: Evaluated) -> SliceFindings | None:
    """Judge the model by slice; None if `evaluation.slices` is null."""
    experiment, blocks = evaluated.experiment, evaluated.blocks
    settings = experiment.evaluation.slices
    if settings is None:
        return None
    prediction, target = evaluated.predictions[MODEL].numpy(), evaluated.target.numpy()
    declared = [
        found
        for part in cut_columns(evaluated.read_columns(settings.columns))
        for found in _judge(
            part,
            evaluated=evaluated,
            prediction=prediction,
            target=target,
            min_rows=settings.min_rows,
        )
    ]
    if not settings.candidates:
        return SliceFindings(declared, [])
    task = experiment.data.answer
    public = [name for name in list_example_columns(experiment.data) if name not in evaluated.bundle.private]
    worst = find_worst_slices(
        cut_columns(evaluated.read_columns([*public, *experiment.evaluation.derive])),
        losses=compute_losses(prediction, target=target, task=task),
        excess=compute_excess(prediction, target=target, task=task),
        blocks=blocks,
        min_rows=settings.min_rows,
        candidates=settings.candidates,
        coverage=make_resampling(experiment).coverage,
        seed=SEED,
    )
    return SliceFindings(declared, worst)


def _judge(
    part: Parts, *, evaluated: Evaluated, prediction: Array, target: Array, min_rows: int
) -> list[DeclaredSlice]:
    found = []
    experiment, blocks = evaluated.experiment, evaluated.blocks
    resampling = make_resampling(experiment)
    for code, text in enumerate(part.texts):
        mask = part.codes == code
        if mask.sum() >= min_rows:
            samples = resample(
                {"model": prediction[mask]},
                target=target[mask],
                blocks=blocks.take(mask),
                scoring=make_scoring(experiment, evaluated.bundle.card.thresholds),
                resampling=resampling,
            )["model"]
            metrics = samples.measure_all(coverage=resampling.coverage)
            found.append(DeclaredSlice(f"{part.name} = {text}", int(mask.sum()), metrics))
    return found
