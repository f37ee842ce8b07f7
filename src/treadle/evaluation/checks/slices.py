"""Whether the model is as good on parts of the rows as it says."""

from __future__ import annotations

from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.slices import SliceFindings
from treadle.metrics.registry import write_score
from treadle.outcomes import Outcome, judge, not_applicable
from treadle.schema import Positive


def limit_excess(evaluated: Evaluated, *, max_excess: Positive) -> Outcome:
    """No slice is much worse than the model expects.

    Of the slices that the search confirmed, by the loss beyond what the model itself expects there.

    Args:
        evaluated: given by Treadle.
        max_excess: largest excess that passes: of the mean log loss, or squared error of a regression.
    """
    found = evaluated.answers.get("slices")
    if not isinstance(found, SliceFindings) or not found.worst:
        return not_applicable(
            "No slices were searched: evaluation.slices is null, or there are too few blocks or rows."
        )
    confirmed = [one for one in found.worst if one.confirmed]
    if not confirmed:
        return judge(f"None of {len(found.worst)} proposed slices is worse beyond chance.", holds=True, confirmed=0)
    worst = max(confirmed, key=lambda one: one.excess)
    name = " and ".join(map(str, worst.conditions))
    sentence = (
        f"The worst slice, {name}, has {write_score(worst.excess)} more loss than the model expects; "
        f"{max_excess:g} is allowed."
    )
    evidence = {"slice": name, "rows": worst.rows, "excess": worst.excess, "confirmed": len(confirmed)}
    return judge(sentence, holds=worst.excess <= max_excess, **evidence, max_excess=max_excess)
