"""A number for each row, such as how much to order: its gain depends on the number that comes true.

Where too much costs something else than too little, the best number is not the predicted mean (the newsvendor problem:
a quantile). The prediction plus a number, or times a number, comes close to it; the validation split says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from treadle.evaluation.evaluated import MODEL
from treadle.evaluation.intervals import Array
from treadle.evaluation.resampling import Blocks, Floats
from treadle.evaluation.value.findings import Words
from treadle.evaluation.value.stakes import Decided, Held

CONSTANT = "one_number"  # the policy that decides alike for every row
_SETTINGS = 41  # that are tried, at quantiles of what would have been right
_SHOWN = 40  # of the curve
_RULE = "where the model decides by its prediction"
_WORDS = {
    "none": Words(setting=None, rule=_RULE, axis=""),
    "shift": Words(setting="shift", rule=f"{_RULE} plus a number, the best of the validation split", axis="added"),
    "scale": Words(setting="scale", rule=f"{_RULE} times a number, the best of the validation split", axis="factor"),
}


@dataclass(frozen=True)
class Numbers:
    """The rows of a split: what was predicted, what came true, and what it gains to decide by a number."""

    gain: Callable[[Floats], Floats]  # from decisions `[B]` to gains `[B]`
    adjust: Literal["none", "shift", "scale"]
    predictions: Mapping[str, Array]  # `[B]` by model
    target: Floats  # `[B]`
    blocks: Blocks

    @property
    def constants(self) -> Mapping[str, str]:
        """The best number of the validation split."""
        return {CONSTANT: "to decide by one number for every row"}

    @property
    def words(self) -> Words:
        """Of the adjustment."""
        return _WORDS[self.adjust]

    def choose(self, name: str, held: Held | None = None) -> float | None:
        """The adjustment of a model, or the one number, that gains most; of equal ones the first."""
        if name in self.predictions and self.adjust == "none":
            return None
        rows = slice(None) if held is None else held
        neutral = {"shift": [0.0], "scale": [1.0]}[self.adjust] if name in self.predictions else []
        settings = np.unique([*_cut(self._propose(name)[rows], np.linspace(0, 1, _SETTINGS)), *neutral])
        return float(max(settings, key=lambda one: self.decide(name, one).gains[rows].sum()))

    def decide(self, name: str, setting: float | None) -> Decided:
        """By the adjusted predictions of a model, or one number."""
        return Decided(self.gain(self._adjust(name, setting)))

    def list_settings(self, chosen: float | None) -> Sequence[float]:
        """Around the one that was chosen."""
        if chosen is None:
            return ()
        tried = _cut(self._propose(MODEL), np.linspace(0.02, 0.98, _SHOWN))
        found: list[float] = np.unique(np.append(tried, chosen)).tolist()
        return found

    def find_highest(self, share: float) -> tuple[Array, Held] | None:  # noqa: ARG002 - of no row
        """No row is positive."""
        return None

    def _adjust(self, name: str, setting: float | None) -> Floats:
        if name not in self.predictions:
            assert setting is not None, "chosen"
            return np.full(len(self.target), setting)
        predicted = self.predictions[name].astype(np.float64)
        if setting is None:
            return predicted
        return predicted + setting if self.adjust == "shift" else predicted * setting

    def _propose(self, name: str) -> Floats:
        """`[B]` what would have been right: the setting that makes the decision what came true, if there is one."""
        if name not in self.predictions:
            return self.target
        predicted = self.predictions[name].astype(np.float64)
        if self.adjust == "shift":
            return self.target - predicted
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.target / predicted


def _cut(proposed: Floats, shares: Floats) -> Floats:
    """Quantiles of the settings that exist; none where no row has one, such as a scale of predictions that are 0."""
    known = proposed[np.isfinite(proposed)]
    levels: Floats = np.quantile(known, shares) if len(known) else known
    return levels
