"""Whether serving equals evaluation."""

from __future__ import annotations

from treadle.evaluation.evaluated import Evaluated
from treadle.outcomes import Outcome, judge, not_applicable


def require_parity(evaluated: Evaluated) -> Outcome:
    """A row alone gets the prediction that it gets in a batch.

    (A difference beyond what is allowed ends the evaluation; here it is on record.)

    Args:
        evaluated: given by Treadle.
    """
    parity = evaluated.parity
    if not parity["rows"]:
        return not_applicable("No row was predicted alone: evaluation.parity_rows is 0.")
    largest, allowed = parity["largest_difference"], parity["allowed"]
    sentence = f"{parity['rows']} rows alone differ from the batch by at most {largest:.2g}; {allowed:g} is allowed."
    return judge(sentence, holds=largest <= allowed, **parity)
