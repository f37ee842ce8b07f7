"""What the user demands of a metric."""

from __future__ import annotations

import math

from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.metrics.registry import find_metric, write_score
from treadle.outcomes import Outcome, failed, judge


def require_floor(evaluated: Evaluated, *, metric: str, floor: float) -> Outcome:
    """A metric is not below a floor.

    Args:
        evaluated: given by Treadle.
        metric: name of a metric of the experiment.
        floor: smallest value that passes.
    """
    return _compare(evaluated, metric, floor, sign=1, name="floor")


def require_ceiling(evaluated: Evaluated, *, metric: str, ceiling: float) -> Outcome:
    """A metric is not above a ceiling.

    Args:
        evaluated: given by Treadle.
        metric: name of a metric of the experiment.
        ceiling: largest value that passes.
    """
    return _compare(evaluated, metric, ceiling, sign=-1, name="ceiling")


def _compare(evaluated: Evaluated, metric: str, limit: float, *, sign: int, name: str) -> Outcome:
    value = evaluated.results[MODEL][metric]
    found = find_metric(evaluated.experiment, metric)
    title = metric if found is None else found.title
    if not math.isfinite(value):
        return failed(
            f"{title} is not defined on the test split; its {name} is {limit:g}.", value=None, **{name: limit}
        )
    holds = sign * value >= sign * limit
    crossed = "below" if sign > 0 else "above"
    sentence = f"{title} {write_score(value)} is {'not ' if holds else ''}{crossed} its {name} of {limit:g}."
    return judge(sentence, holds=holds, value=value, **{name: limit})
