"""Whether predicted probabilities are as frequent as they say."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from treadle.evaluation.calibration import Calibration
from treadle.evaluation.evaluated import Evaluated
from treadle.outcomes import Outcome, judge, not_applicable


def limit_calibration_error(evaluated: Evaluated, *, ceiling: Annotated[float, Field(gt=0, le=1)]) -> Outcome:
    """Predicted probabilities are calibrated.

    Of a multiclass task that of the predicted class.

    Args:
        evaluated: given by Treadle.
        ceiling: largest mean gap between predicted and observed shares, by bins of `evaluation.calibration_bins`.
    """
    found = evaluated.answers.get("calibration")
    if not isinstance(found, Calibration):
        return not_applicable(f"A {evaluated.task} task has no calibration error.")
    error = found.whole.error.value
    if not math.isfinite(error):
        return not_applicable("The calibration error is not defined on the test split.")
    sentence = f"The calibration error is {error:.4f}; at most {ceiling:g} is allowed."
    return judge(sentence, holds=error <= ceiling, value=error, ceiling=ceiling)
