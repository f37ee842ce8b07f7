"""Whether the test split is like the training split, and its labels are credible."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.questions import DataFindings
from treadle.outcomes import Outcome, judge, not_applicable
from treadle.schema import Fraction

_NOT_ASKED = "evaluation.questions does not ask for it."
_NUM_SHOWN = 3


def limit_shift(evaluated: Evaluated, *, max_auc: Annotated[float, Field(ge=0.5, lt=1)]) -> Outcome:
    """Test rows look like training rows.

    A model is asked to tell them apart (adversarial validation). It fails where even the low end of the interval of its
    ROC AUC is above the limit: chance alone does not refuse.

    Args:
        evaluated: given by Treadle.
        max_auc: largest area under the ROC curve that passes; 0.5 is guessing.
    """
    found = _read(evaluated)
    if found is None or found.shift is None:
        return not_applicable(_NOT_ASKED)
    shift = found.shift
    if shift.interval is None:
        return not_applicable("There are too few blocks of rows for an interval.")
    strongest = dict(list(shift.columns.items())[:_NUM_SHOWN])
    low, high = shift.interval.low, shift.interval.high
    sentence = (
        f"A model tells test rows from training rows with ROC AUC {shift.auc:.3f} ({low:.3f} to {high:.3f}), most by "
        f"{', '.join(strongest)}; {max_auc:g} is allowed."
    )
    return judge(
        sentence, holds=low <= max_auc, auc=shift.auc, low=low, high=high, strongest=strongest, max_auc=max_auc
    )


def limit_label_noise(evaluated: Evaluated, *, max_share: Fraction) -> Outcome:
    """The labels are credible.

    Where the columns determine the label well, rows that the model contradicts are likely mislabelled; where they do
    not, chance makes most of them, and a limit says little.

    Args:
        evaluated: given by Treadle.
        max_share: of the labels that may be wrong by the estimate of confident learning; of a regression, that may lie
            beyond six robust deviations.
    """
    found = _read(evaluated)
    if found is None or found.noise is None:
        return not_applicable(_NOT_ASKED)
    noise = found.noise
    such = f", such as row {found.suspect_rows[0]}" if found.suspect_rows else ""
    sentence = f"{noise.share:.2%} of the labels are suspect{such}; {max_share:.2%} are allowed."
    rows = list(found.suspect_rows)
    return judge(sentence, holds=noise.share <= max_share, share=noise.share, rows=rows, max_share=max_share)


def _read(evaluated: Evaluated) -> DataFindings | None:
    found = evaluated.answers.get("questions")
    return found if isinstance(found, DataFindings) else None
