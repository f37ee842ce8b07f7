"""Whether predicted probabilities are as frequent as they say."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.outcomes import Outcome, judge, not_applicable

_METRIC = "calibration_error"


def limit_calibration_error(evaluated: Evaluated, *, ceiling: Annotated[float, Field(gt=0, le=1)]) -> Outcome:
    """Predicted probabilities are calibrated.

    Args:
        evaluated: given by Treadle.
        ceiling: largest mean gap between predicted and observed shares, by bins of `evaluation.calibration_bins`.
    """
    error = evaluated.results[MODEL].get(_METRIC)
    if error is None:
        return not_applicable(f"A {evaluated.task} task has no calibration error.")
    if not math.isfinite(error):
        return not_applicable("The calibration error is not defined on the test split.")
    sentence = f"The calibration error is {error:.4f}; at most {ceiling:g} is allowed."
    return judge(sentence, holds=error <= ceiling, value=error, ceiling=ceiling)
