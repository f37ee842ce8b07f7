"""What monitoring finds: in each block of a log its alarms, its effects and its performance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from treadle.monitoring.charts import Alarm, Charts, Judged
from treadle.monitoring.effect import Effect
from treadle.monitoring.labels import Realised
from treadle.profiles.reference import Reference

Effects = dict[tuple[str, ...], Effect]


@dataclass(frozen=True)
class Block:
    """What was found in a block of a log."""

    judged: Judged
    identity: str  # the same as long as it is the same block: see `_identify`
    effects: Effects  # of its alarms' subjects; empty without the bundle
    mean: float | None  # of the predictions of a regression or a binary task
    estimated: dict[str, float]
    realised: Realised | None
    performance: Alarm | None  # that the realised performance is worse than it ever was
    min_effect: float  # on the mean prediction, below which a signal of the inputs is slight

    @property
    def strength(self) -> float:
        """Of the strongest signal of the inputs and of the performance; from 1 on it is an alarm."""
        return max(self.judged.strength, 0.0 if self.performance is None else self.performance.strength)

    @property
    def alarms(self) -> list[Alarm]:
        """That of the performance, then those of the inputs by effect on the predictions, importance and strength.

        A pair of which a column alarms by itself, which explains it, comes after the others.
        """
        own = [self.performance] if self.performance is not None else []
        return [*own, *self._rank([alarm for alarm in self.judged.alarms if not self._is_slight(alarm)])]

    @property
    def slight(self) -> list[Alarm]:
        """Signals of the inputs beyond their limits that move predictions too little to alarm, in the same order."""
        return self._rank([alarm for alarm in self.judged.alarms if self._is_slight(alarm)])

    def _is_slight(self, alarm: Alarm) -> bool:
        effect = self.effects.get(alarm.signal.columns)
        return effect is not None and effect.mean < self.min_effect

    def _rank(self, alarms: list[Alarm]) -> list[Alarm]:
        none = Effect(0.0, 0.0)
        own = {alarm.signal.columns[0] for alarm in alarms if alarm.signal.kind != "pair"}

        def rank(alarm: Alarm) -> tuple[bool, float, float, float]:
            effect = self.effects.get(alarm.signal.columns, none)
            is_explained = alarm.signal.kind == "pair" and not own.isdisjoint(alarm.signal.columns)
            return is_explained, -effect.mean, -effect.importance, -alarm.strength

        return sorted(alarms, key=rank)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        judged = self.judged
        return {
            "block": judged.block,
            "rows": judged.rows,
            "unjudged": judged.unjudged,
            "strength": self.strength,
            "alarms": [self._describe(alarm) for alarm in self.alarms],
            "slight": [self._describe(alarm) for alarm in self.slight],
            "mean_prediction": self.mean,
            "estimated": _without_nan(self.estimated),
            "realised": None
            if self.realised is None
            else {**asdict(self.realised), "metrics": _without_nan(self.realised.metrics)},
        }

    def _describe(self, alarm: Alarm) -> dict[str, Any]:
        effect = self.effects.get(alarm.signal.columns)
        return {
            "kind": alarm.signal.kind,
            "columns": list(alarm.signal.columns),
            "z": alarm.z,
            "limit": alarm.limit,
            "words": alarm.words,
            "effect": None if effect is None else effect.mean,
            "importance": None if effect is None else effect.importance,
        }


@dataclass(frozen=True)
class Findings:
    """What was found in a log."""

    model: str
    digest: str  # of the bundle
    log: str
    charts: Charts
    absent: list[str]  # columns that the log does not have, whose values count as missing
    blocks: list[Block]
    changed: dict[str, list[int]]  # columns that alarmed, the strongest first: counts by cell in the blocks that alarm
    notes: list[str]  # what could not be told, and why

    @property
    def reference(self) -> Reference:
        """That the log was judged against."""
        return self.charts.reference

    @property
    def alarmed(self) -> list[Block]:
        """The blocks with an alarm."""
        return [block for block in self.blocks if block.alarms]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        reference = self.reference
        own = self.charts.own_strengths
        return {
            "model": self.model,
            "bundle": self.digest,
            "log": self.log,
            "alarm": bool(self.alarmed),
            "reference": {
                "blocks": len(own),
                "unit": reference.blocking.unit,
                "columns": len(reference.columns),
                "false_alarms": [block for block, strength in own.items() if strength > 1],
                "metrics": _without_nan(reference.performance.metrics),
            },
            "ignored": dict(reference.ignored),
            "absent": self.absent,
            "notes": self.notes,
            "blocks": [block.to_plain() for block in self.blocks],
        }


def _without_nan(values: dict[str, float] | Any) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
