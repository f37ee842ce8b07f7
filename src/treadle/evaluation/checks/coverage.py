"""Whether intervals, or sets of classes, hold as much as they promise."""

from __future__ import annotations

from treadle.evaluation.conformal import Coverage
from treadle.evaluation.evaluated import Evaluated
from treadle.outcomes import Outcome, judge, not_applicable


def hold_coverage(evaluated: Evaluated) -> Outcome:
    """Intervals, or sets, hold as much as declared.

    It fails where the coverage on the test split is below `evaluation.conformal.coverage` beyond noise.

    Args:
        evaluated: given by Treadle.
    """
    found = evaluated.answers.get("conformal")
    if not isinstance(found, Coverage):
        return not_applicable("The bundle has no conformal prediction: evaluation.conformal is null.")
    coverage = found.coverage
    if coverage.high is None:
        return not_applicable("There are too few blocks of test rows for an interval.")
    what = "Sets" if found.is_set else "Intervals"
    sentence = (
        f"{what} hold {coverage.value:.1%} of the test rows ({coverage.low:.1%} to {coverage.high:.1%}); "
        f"{found.declared:.1%} was declared."
    )
    return judge(sentence, holds=coverage.high >= found.declared, declared=found.declared, **coverage.to_plain())
