"""What is known about a champion at some moment, and what the rules of retraining make of it. Nothing is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import AgeRule, AlarmRule, DataRule, PerformanceRule, Retrain, Rule
from treadle.replay.policies import Skill

Action = Literal["nothing", "suggest", "replay", "retrain"]
_STRENGTH: tuple[Action, ...] = ("nothing", "suggest", "replay", "retrain")


@dataclass(frozen=True)
class Evidence:
    """What is known about the champion."""

    learned_until: datetime  # the newest rows that could have been in its training
    skill: Skill | None  # on its own test rows, and on the newest rows with labels; None: too few, or of no use
    trained_data: str | None  # fingerprint of the data that the last training read; None: unknown
    data: str  # of those that are there
    alarms: Mapping[str, str]  # what monitoring found, by the path of its findings; empty: nothing
    last_training: datetime | None  # that these rules began

    def to_plain(self) -> dict[str, Any]:
        """For the ledger."""
        skill = self.skill
        return {
            "learned_until": self.learned_until.isoformat(),
            "skill": None if skill is None else {"own": skill.first, "newest": skill.newest},
            "data": self.data,
            "alarms": dict(self.alarms),
        }


@dataclass(frozen=True)
class Choice:
    """What is to be done, and why."""

    action: Action
    reasons: tuple[str, ...]


def choose(settings: Retrain, evidence: Evidence | None, *, now: datetime) -> Choice:
    """The strongest action of the rules that hold.

    Args:
        settings: the rules.
        evidence: about the champion; None: there is none yet, and one is trained.
        now: moment of the decision.
    """
    if evidence is None:
        return Choice("retrain", ("there is no champion yet",))
    held: list[tuple[Action, str]] = [
        (rule.do, f"{name}: {reason}")
        for name, rule in settings.act.items()
        if rule is not None and (reason := _hold(rule, evidence, now=now)) is not None
    ]
    action: Action = max((do for do, _ in held), key=_STRENGTH.index, default="nothing")
    reasons = tuple(reason for _, reason in held)
    if action in ("replay", "retrain") and _is_too_soon(settings, evidence, now=now):
        return Choice("nothing", (*reasons, f"wait: less than {settings.wait} since the last training"))
    return Choice(action, reasons)


def _is_too_soon(settings: Retrain, evidence: Evidence, *, now: datetime) -> bool:
    last = evidence.last_training
    return last is not None and now - last < parse_duration(settings.wait)


def _hold(rule: Rule, evidence: Evidence, *, now: datetime) -> str | None:
    """Why a rule holds; None: it does not."""
    match rule:
        case AgeRule():
            age = now - evidence.learned_until
            return f"{age.days} days old" if age > parse_duration(rule.after) else None
        case PerformanceRule():
            return None if evidence.skill is None else evidence.skill.explain_drop(allowed=rule.drop)
        case DataRule():
            known = evidence.trained_data
            return "the data are another version" if known is not None and known != evidence.data else None
        case AlarmRule():
            return evidence.alarms.get(rule.findings)
