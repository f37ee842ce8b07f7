"""Whether the model's decisions are worth having a model."""

from __future__ import annotations

from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.value.findings import ValueFindings
from treadle.metrics.registry import write_score
from treadle.outcomes import Outcome, judge, not_applicable


def add_value(evaluated: Evaluated) -> Outcome:
    """The model's decisions are worth more than the same decision for every row.

    By the gains of `evaluation.value`, beyond noise; a threshold, or an adjustment, is that of the validation split.

    Args:
        evaluated: given by Treadle.
    """
    found = evaluated.answers.get("value")
    if not isinstance(found, ValueFindings):
        return not_applicable("evaluation.value is null: no decision has a gain.")
    constant = found.constant
    lead = constant.lead
    if lead is None or lead.low is None or lead.high is None:
        return not_applicable("There are too few blocks of test rows for an interval.")
    span = f"{write_score(abs(lead.value))} {found.unit} ({write_score(lead.low)} to {write_score(lead.high)})"
    relation = "more than" if lead.value > 0 else "less than"
    sentence = f"A decision by the model is worth {span} {relation} {found.constants[constant.name]}."
    return judge(sentence, holds=lead.low > 0, lead=lead.to_plain(), constant=constant.name)
