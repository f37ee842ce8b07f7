"""What a check found: passed, failed or not applicable, in one sentence, with its evidence as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["pass", "fail", "not applicable"]
Severity = Literal[
    "blocker", "warning", "note"
]  # of a failure: it refuses a promotion, it is told, it is for the record


@dataclass(frozen=True)
class Outcome:
    """What a check says. Not applicable is not a pass: there was nothing to judge."""

    state: State
    sentence: str
    evidence: Mapping[str, Any]  # plain values, for JSON


def passed(sentence: str, **evidence: Any) -> Outcome:
    """What was asked holds."""
    return Outcome("pass", sentence, evidence)


def failed(sentence: str, **evidence: Any) -> Outcome:
    """What was asked does not hold."""
    return Outcome("fail", sentence, evidence)


def not_applicable(sentence: str, **evidence: Any) -> Outcome:
    """The question makes no sense here; the sentence says why."""
    return Outcome("not applicable", sentence, evidence)


def judge(sentence: str, *, holds: bool, **evidence: Any) -> Outcome:
    """Passed or failed, in the same sentence."""
    return Outcome("pass" if holds else "fail", sentence, evidence)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of a list."""

    code: str  # the check's name in the configuration: the same from run to run
    title: str
    severity: Severity
    outcome: Outcome

    @property
    def blocks(self) -> bool:
        """Whether it refuses a promotion."""
        return self.severity == "blocker" and self.outcome.state == "fail"

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        found = self.outcome
        return {
            "title": self.title,
            "severity": self.severity,
            "outcome": found.state,
            "sentence": found.sentence,
            "evidence": dict(found.evidence),
        }

    @classmethod
    def from_plain(cls, code: str, plain: Mapping[str, Any]) -> Finding:
        """What `to_plain` made."""
        outcome = Outcome(plain["outcome"], plain["sentence"], plain["evidence"])
        return cls(code, plain["title"], plain["severity"], outcome)


def summarize(findings: Iterable[Finding]) -> str:
    """How many passed and failed, by severity.

    >>> summarize([Finding("a", "A", "warning", failed("no")), Finding("b", "B", "note", passed("yes"))])
    '1 check passed; failed: 1 warning'
    """
    found = list(findings)
    failures = [f.severity for f in found if f.outcome.state == "fail"]
    held = sum(f.outcome.state == "pass" for f in found)
    counts = {"blocker": "blockers", "warning": "warnings", "note": "notes"}
    told = [_count(failures.count(one), one, many) for one, many in counts.items() if one in failures]
    return f"{_count(held, 'check', 'checks')} passed" + (f"; failed: {', '.join(told)}" if told else "")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
