"""Group `evaluation`: how the model is evaluated on the test set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from treadle.experiment.spec.base import Spec


class Evaluation(Spec):
    """How the model is evaluated on the test set."""

    baselines: list[Literal["prior", "linear", "gradient_boosting"]]
    """Baseline models that are trained and evaluated on the same splits."""
    metric: str
    """Primary metric, which the summary shows first."""
    threshold: float = Field(gt=0, lt=1)
    """Decision threshold: a row with at least this probability is classified as positive [probability]."""
    calibration_bins: int = Field(ge=2, le=10_000)
    """Number of bins of the calibration curve and of the calibration error."""
    parity_rows: int = Field(ge=0)
    """Number of test rows that are predicted again one by one, to verify that serving equals evaluation [rows]."""
