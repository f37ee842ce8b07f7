"""The kinds of curves, without the libraries that compute them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a curve shows, `x` against `y`."""

    title: str
    x: str
    y: str
    diagonal: bool  # whether to draw y = x: chance, or perfect calibration


KINDS = {
    "roc": Kind("ROC", "false_positive_rate", "true_positive_rate", diagonal=True),
    "precision_recall": Kind("Precision and recall", "recall", "precision", diagonal=False),
    "calibration": Kind("Calibration", "predicted", "observed", diagonal=True),
}
