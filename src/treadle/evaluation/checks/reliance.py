"""Whether the model relies on what it should, and not on what it should not."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.explanation import ExplanationFindings
from treadle.evaluation.importance import Importance
from treadle.metrics.registry import write_score
from treadle.outcomes import Outcome, judge, not_applicable
from treadle.schema import Share

_NOT_ASKED = "evaluation.explanation is null: no importance was measured."


def require_reliance(evaluated: Evaluated, *, columns: list[str]) -> Outcome:
    """The model relies on the columns that it must not ignore.

    A column counts whose permutation, alone or with its group, makes the loss grow beyond noise.

    Args:
        evaluated: given by Treadle.
        columns: of the examples.
    """
    found = _read(evaluated)
    if found is None:
        return not_applicable(_NOT_ASKED)
    ignored = [name for name in columns if not any(one.is_relied_on for one in _find(found.importances, name))]
    such = "; ".join(f"{name} ({_describe(found.importances, name)})" for name in ignored)
    sentence = (
        f"Beyond noise, the model does not rely on {such}."
        if ignored
        else f"Beyond noise, the model relies on {', '.join(columns)}, by {found.rows:,} permuted test rows."
    )
    return judge(sentence, holds=not ignored, ignored=ignored, rows=found.rows)


def limit_reliance(evaluated: Evaluated, *, columns: list[str], max_share: Share) -> Outcome:
    """The model does not live on columns that may not last.

    The share of a column is what its permutation, alone or with its group, adds to the loss, of the sum over all.

    Args:
        evaluated: given by Treadle.
        columns: of the examples.
        max_share: of the importance that each of them may have.
    """
    found = _read(evaluated)
    if found is None:
        return not_applicable(_NOT_ASKED)
    total = sum(max(0.0, one.growth) for one in found.importances)
    if not total > 0:
        return not_applicable("The loss grows by no column: there is no importance to share.")
    shares = {name: sum(max(0.0, one.growth) for one in _find(found.importances, name)) / total for name in columns}
    largest = max(shares, key=lambda name: shares[name])
    sentence = f"{largest} has {shares[largest]:.1%} of the importance; {max_share:.0%} is allowed."
    return judge(sentence, holds=shares[largest] <= max_share, shares=shares, max_share=max_share)


def _read(evaluated: Evaluated) -> ExplanationFindings | None:
    found = evaluated.answers.get("explanation")
    return found if isinstance(found, ExplanationFindings) else None


def _find(importances: Sequence[Importance], column: str) -> list[Importance]:
    return [one for one in importances if column in one.columns]


def _describe(importances: Sequence[Importance], column: str) -> str:
    for one in _find(importances, column):
        if one.interval is None:
            return "too few blocks for an interval"
        return f"the loss grows by {write_score(one.interval.low)} to {write_score(one.interval.high)}"
    return "no feature reads it"
