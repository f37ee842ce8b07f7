"""Whether a forecast is worth its model."""

from __future__ import annotations

from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.horizon import Horizon
from treadle.outcomes import Outcome, judge, not_applicable
from treadle.schema import Fraction


def beat_naive(evaluated: Evaluated, *, min_gain: Fraction) -> Outcome:
    """The model's scaled error is below that of the best naive forecast by a share, beyond noise.

    Args:
        evaluated: given by Treadle.
        min_gain: by how much at least, of the naive forecast's MASE; 0: any gain.
    """
    found = evaluated.answers.get("horizon")
    if not isinstance(found, Horizon) or not found.gains:
        return not_applicable("There are no naive forecasts: the task is another, or evaluation.naive is null.")
    name, gain = min(found.gains.items(), key=lambda pair: pair[1].value)
    if gain.low is None:
        return not_applicable("There are too few blocks of test rows for an interval.")
    sentence = (
        f"The model's MASE is {gain.value:.1%} below that of the {name.replace('_', ' ')} forecast "
        f"({gain.low:.1%} to {gain.high:.1%}); {min_gain:.0%} was asked for."
    )
    return judge(sentence, holds=gain.low > min_gain, min_gain=min_gain, naive=name, **gain.to_plain())
