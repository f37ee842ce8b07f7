"""Policies of retraining as walks through the matrix: pure functions, no training.

When a block begins, a policy is told what is known by then (how old the model is, how its skill has changed where the
labels have come), and says whether a new model is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from treadle.experiment.spec import Never, OnAlarm, OnPerformance, OnSchedule, Policy
from treadle.wording import number_of


@dataclass(frozen=True)
class Skill:
    """How much of the prior's loss a model saves, 1 - its loss / the prior's, over as long a time each."""

    first: float  # when it was new
    newest: float  # by the newest labels

    @property
    def drop(self) -> float:
        """The share of the first skill that is lost; all of it where there was none."""
        return min(1.0, (self.first - self.newest) / self.first) if self.first > 0 else 1.0

    def explain_drop(self, *, allowed: float) -> str | None:
        """What is lost, where it is a larger share than is allowed."""
        if self.drop <= allowed:
            return None
        return f"lost {self.drop:.0%} of its skill, {self.first:.3f} to {self.newest:.3f}"


@dataclass(frozen=True)
class Situation:
    """What is known about the model in use at some moment."""

    age: int  # whole blocks since it was trained
    skill: Skill | None  # None: too few labels are there
    alarmed: float | None  # share of the newest blocks of monitoring that alarm; None: none could be judged


@dataclass(frozen=True)
class Stay:
    """A model from the block whose start it was trained at, until it is replaced."""

    block: int  # from which on it predicts
    num_blocks: int
    reason: str  # why it was trained


def decide(policy: Policy, situation: Situation) -> str | None:
    """Why a new model is trained now; None: the one in use stays."""
    match policy:
        case Never():
            return None
        case OnSchedule():
            age = situation.age
            return f"{number_of(age, 'block')} old" if age >= policy.every else None
        case OnPerformance():
            return None if situation.skill is None else situation.skill.explain_drop(allowed=policy.drop)
        case OnAlarm():
            share = situation.alarmed
            return None if share is None or share < policy.share else f"{share:.0%} of the newest blocks alarm"


def walk(
    policy: Policy,
    *,
    num_blocks: int,
    look: Callable[[int, int], Skill | None],
    watch: Callable[[int, int], float | None],
) -> list[Stay]:
    """The models that a policy would have used.

    Args:
        policy: that is followed.
        num_blocks: of the matrix.
        look: the skill of a model, by the block that it was trained at, as it is known when a later block begins.
        watch: in the same way, the share of the newest blocks of monitoring that alarm.
    """
    trained, stays = 0, [Stay(0, num_blocks, "the first")]
    for block in range(1, num_blocks):
        reason = decide(policy, Situation(block - trained, look(trained, block), watch(trained, block)))
        if reason is not None:
            last = stays.pop()
            stays += [Stay(last.block, block - last.block, last.reason), Stay(block, num_blocks - block, reason)]
            trained = block
    return stays
