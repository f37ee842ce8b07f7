"""Group `fit`: how a LightningModule of the user's own is trained, and by which of its metrics it is judged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from treadle.experiment.spec.base import Spec
from treadle.experiment.spec.schedule import EarlyStopping


class Fit(Spec):
    """How long a LightningModule trains, and which of the metrics that it logs judges it."""

    max_epochs: int = Field(ge=1)
    """Maximum number of passes over the training set [epochs]."""
    monitor: str = Field(min_length=1)
    """Metric, as the LightningModule logs it, by which the best epoch's weights are kept."""
    mode: Literal["min", "max"]
    """Whether a lower or a higher value of the monitored metric is better."""
    early_stopping: EarlyStopping | None
    """When to stop before `max_epochs`; null: never."""
    metrics: dict[str, Literal["min", "max"]] = {}
    """Which value of further logged metrics is better; a comparison marks the best, and a sweep can aim at them."""
