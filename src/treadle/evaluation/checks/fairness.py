"""Whether the model's decisions differ between groups by no more than they may: the limits are the user's."""

from __future__ import annotations

from typing import Literal

from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.fairness import FairnessFindings, Gap, Grouping
from treadle.outcomes import Outcome, judge, not_applicable
from treadle.schema import Positive, Share

Compared = Literal[
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "precision",
    "accuracy",
    "log_loss",
    "calibration_gap",
    "mean_error",
    "mae",
]


def limit_disparity(evaluated: Evaluated, *, measure: Compared, ceiling: Positive) -> Outcome:
    """The groups of each protected column do not lie farther apart than they may.

    Args:
        evaluated: given by Treadle.
        measure: what is compared, as `evaluation.fairness` finds it for the task.
        ceiling: largest difference between two groups of a column [units of the measure].
    """
    found = _find_gaps(evaluated, measure)
    if isinstance(found, Outcome):
        return found
    grouping, gap = max(found, key=lambda pair: pair[1].difference)
    holds = gap.difference <= ceiling
    sentence = f"{_describe(grouping, gap)}; at most {ceiling:g} is allowed{_tell_noise(gap, ceiling, holds=holds)}."
    differences = {one.column: each.to_plain() for one, each in found}
    return judge(sentence, holds=holds, ceiling=ceiling, **differences)


def require_ratio(evaluated: Evaluated, *, measure: Compared, floor: Share) -> Outcome:
    """The lowest group of each protected column reaches a share of the highest one.

    A floor of 0.8 for the selection rate is the four-fifths rule of the US Uniform Guidelines on Employee Selection
    Procedures (1978).

    Args:
        evaluated: given by Treadle.
        measure: what is compared, as `evaluation.fairness` finds it for the task; one that is never below 0.
        floor: smallest ratio of two groups of a column that passes.
    """
    found = _find_gaps(evaluated, measure)
    if isinstance(found, Outcome):
        return found
    ratios = [(grouping, gap, gap.ratio) for grouping, gap in found if gap.ratio is not None]
    if not ratios:
        return not_applicable(f"{measure} has no ratio here: it may be below 0, or is 0 in every group.")
    grouping, gap, ratio = min(ratios, key=lambda each: each[2].value)
    span = "" if ratio.low is None or ratio.high is None else f" ({ratio.low:.3f} to {ratio.high:.3f})"
    sentence = f"{_describe(grouping, gap)}; the ratio is {ratio.value:.3f}{span}, and {floor:g} is required."
    evidence = {one.column: each.to_plain() for one, each, _ in ratios}
    return judge(sentence, holds=ratio.value >= floor, floor=floor, **evidence)


def _find_gaps(evaluated: Evaluated, measure: str) -> list[tuple[Grouping, Gap]] | Outcome:
    answer = evaluated.answers.get("fairness")
    if not isinstance(answer, FairnessFindings):
        return not_applicable("evaluation.fairness is null: no group was compared.")
    if measure not in answer.measures:
        known = ", ".join(answer.measures)
        return not_applicable(f"A {evaluated.task} task has no {measure}; it has {known}.")
    found = [(one, one.gaps[measure]) for one in answer.groupings if measure in one.gaps]
    return found or not_applicable(f"There are no two groups with enough rows in which {measure} is defined.")


def _describe(grouping: Grouping, gap: Gap) -> str:
    text = gap.describe(grouping.column, [grouping.groups[name].values[gap.measure] for name in _ends(gap)])
    return text[0].upper() + text[1:]


def _ends(gap: Gap) -> tuple[str, str]:
    return gap.highest, gap.lowest


def _tell_noise(gap: Gap, ceiling: float, *, holds: bool) -> str:
    """Whether more rows could well have given the other answer."""
    if gap.bounds is None or not gap.bounds.low <= ceiling <= gap.bounds.high:
        return ""
    return ", which it meets within noise" if holds else ", which it exceeds within noise"
