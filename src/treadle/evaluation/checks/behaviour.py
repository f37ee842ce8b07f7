"""Whether predictions do what is declared of them."""

from __future__ import annotations

from typing import Any

from treadle.evaluation.behaviour import BehaviourFindings
from treadle.evaluation.evaluated import Evaluated
from treadle.outcomes import Outcome, judge, not_applicable


def hold_behaviour(evaluated: Evaluated, *, names: list[str] | None = None) -> Outcome:
    """Predictions behave as declared.

    Args:
        evaluated: given by Treadle.
        names: of `evaluation.behaviour`; null: all of them.
    """
    found = evaluated.answers.get("behaviour")
    if not isinstance(found, BehaviourFindings):
        return not_applicable("No behaviour is declared: evaluation.behaviour has none.")
    asked = {name: one for name, one in found.found.items() if names is None or name in names}
    if not asked:
        return not_applicable(f"evaluation.behaviour has none of {', '.join(names or [])}.")
    broken = {name: one for name, one in asked.items() if not one.holds}
    sentence = f"{len(asked) - len(broken)} of {len(asked)} behaviours hold"
    told = " ".join(f"{name}: {one.sentence}" for name, one in broken.items())
    evidence: dict[str, Any] = {name: one.to_plain() for name, one in asked.items()}
    return judge(f"{sentence}. {told}".strip(), holds=not broken, behaviours=evidence)
