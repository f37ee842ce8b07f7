"""Several labels one by one: how well each is told, and what its threshold decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from treadle.evaluation.comparison import make_resampling
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.intervals import Measured, resample
from treadle.evaluation.scores import Scoring
from treadle.metrics.registry import METRICS, Metric

SHOWN: tuple[Metric, ...] = METRICS["binary"]  # of each label


@dataclass(frozen=True)
class Label:
    """One label on the test split."""

    share: float  # of the rows that have it
    threshold: float  # from which probability on it is predicted
    predicted: float  # share of the rows for which it is
    metrics: Mapping[str, Measured | None]  # as of a binary task; None: it is not defined, such as an AUC of one value

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        found = {name: None if value is None else value.to_plain() for name, value in self.metrics.items()}
        return {"share": self.share, "threshold": self.threshold, "predicted": self.predicted, "metrics": found}


@dataclass(frozen=True)
class ByLabel:
    """What was found, by name of the label."""

    labels: Mapping[str, Label]

    @property
    def titles(self) -> Mapping[str, str]:
        """Of the metrics."""
        return {metric.name: metric.title for metric in SHOWN}

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {name: label.to_plain() for name, label in self.labels.items()}

    def to_numbers(self) -> dict[str, float]:
        """Threshold and metrics of each label, such as `late.auroc`."""
        numbers: dict[str, float] = {}
        for name, label in self.labels.items():
            numbers[f"{name}.threshold"] = label.threshold
            found = {key: math.nan if value is None else value.value for key, value in label.metrics.items()}
            numbers |= {f"{name}.{key}": value for key, value in found.items()}
        return numbers


def find_by_label(evaluated: Evaluated) -> ByLabel | None:
    """Judge each of several labels as a binary task; None of other tasks."""
    if evaluated.task != "multilabel":
        return None
    names, settings = evaluated.bundle.classes, evaluated.experiment.evaluation
    thresholds = evaluated.bundle.card.thresholds or [settings.threshold] * len(names)
    chances, target = evaluated.predictions[MODEL].numpy(), evaluated.target.numpy()
    resampling = make_resampling(evaluated.experiment)
    labels = {}
    for place, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        samples = resample(
            {MODEL: chances[:, place]},
            target=target[:, place],
            blocks=evaluated.blocks,
            scoring=Scoring("binary", threshold=threshold, num_bins=settings.calibration_bins),
            resampling=resampling,
        )[MODEL]
        predicted = chances[:, place] >= np.asarray(threshold, dtype=chances.dtype)
        metrics = samples.measure_all(coverage=resampling.coverage)
        labels[name] = Label(float(target[:, place].mean()), threshold, float(predicted.mean()), metrics)
    return ByLabel(labels)
