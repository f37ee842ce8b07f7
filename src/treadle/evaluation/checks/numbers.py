"""Whether every number of the evaluation is one."""

from __future__ import annotations

import math

from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.outcomes import Outcome, judge


def require_numbers(evaluated: Evaluated) -> Outcome:
    """Every metric of the model is defined.

    (Predictions that are not finite end the evaluation before any check.)

    Args:
        evaluated: given by Treadle.
    """
    undefined = [name for name, value in evaluated.results[MODEL].items() if not math.isfinite(value)]
    rows = f"{len(evaluated.target):,} test rows"
    sentence = (
        f"Not defined on the {rows}: {', '.join(undefined)}; has the test split one class or one value only?"
        if undefined
        else f"All metrics are defined on the {rows}."
    )
    return judge(sentence, holds=not undefined, undefined=undefined, rows=len(evaluated.target))
