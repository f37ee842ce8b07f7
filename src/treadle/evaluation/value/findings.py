"""What was found of the worth of decisions: the policies side by side, and the value by setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.evaluation.evaluated import MODEL
from treadle.evaluation.intervals import Measured
from treadle.pages.charts import Line, draw_chart


@dataclass(frozen=True)
class Policy:
    """A way to decide: by a model and its setting, or the same for every row."""

    name: str
    setting: float | None  # of the model, chosen on the validation split, such as a threshold
    shares: Mapping[str, float]  # of the test rows, by what was decided; none where that is a number
    value: Measured
    lead: Measured | None  # of the model over this policy, in pairs; None: it is the model


@dataclass(frozen=True)
class Words:
    """How one kind of decision is told."""

    setting: str | None  # name of what is chosen on the validation split; None: nothing is
    rule: str  # how the model decides, as a sentence of the report
    axis: str  # of the chart of the value by setting


@dataclass(frozen=True)
class ValueFindings:
    """What the decisions on the test split are worth."""

    unit: str
    words: Words
    policies: Mapping[str, Policy]  # the model first
    constants: Mapping[str, str]  # the policies that decide alike for every row, each in words
    cross_fitted: (
        float | None
    )  # value on the validation split, each fold by the setting of the others; None: one block, or nothing is chosen
    precision: Mapping[str, Measured]  # of the rows with the highest predictions, by their share
    curve: Sequence[tuple[float, Measured]]  # value of the model by setting

    @property
    def model(self) -> Policy:
        """The model at the setting that was chosen."""
        return self.policies[MODEL]

    @property
    def constant(self) -> Policy:
        """The best of those that decide alike for every row."""
        return max((self.policies[name] for name in self.constants), key=lambda policy: policy.value.value)

    @property
    def decisions(self) -> Sequence[str]:
        """What can be decided, whose shares are told."""
        return list(self.model.shares)

    def draw(self) -> str | None:
        """The value by setting, as SVG; None where nothing is chosen."""
        if not self.curve:
            return None
        x, y = [setting for setting, _ in self.curve], [found.value for _, found in self.curve]
        low, high = ([getattr(found, end) for _, found in self.curve] for end in ("low", "high"))
        band = None if None in low else (low, high)
        chosen = self.model.setting
        flat = [Line(name, [x[0], x[-1]], [self.policies[name].value.value] * 2) for name in self.constants]
        lines = [Line(MODEL, x, y, marked=chosen if chosen in x else None, band=band), *flat]
        title = f"Value by {self.words.setting} [{self.unit} per row]"
        return draw_chart(title=title, x=self.words.axis, y="value", lines=lines)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        setting = self.words.setting
        return {
            "unit": self.unit,
            "policies": {
                one.name: {
                    **({} if setting is None else {setting: one.setting}),
                    **({"shares": dict(one.shares)} if one.shares else {}),
                    "value": one.value.to_plain(),
                    "lead": None if one.lead is None else one.lead.to_plain(),
                }
                for one in self.policies.values()
            },
            "cross_fitted": self.cross_fitted,
            "precision": {share: found.to_plain() for share, found in self.precision.items()},
            "curve": [{setting or "": one, **found.to_plain()} for one, found in self.curve],
        }

    def to_numbers(self) -> dict[str, float]:
        """The model's value, its lead over the best constant decision, its setting, and its precisions."""
        lead, setting = self.constant.lead, self.words.setting
        assert lead is not None, "it is not the model"
        chosen = math.nan if self.model.setting is None else self.model.setting
        return {
            "value": self.model.value.value,
            "lead": lead.value,
            **({} if setting is None else {setting: chosen}),
            **{f"precision_at_{share}": found.value for share, found in self.precision.items()},
        }
