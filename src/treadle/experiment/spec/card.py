"""Group `card`: what only a person can say in the model card, and what the card claims."""

from __future__ import annotations

from typing import Any, Self

import pydantic
from pydantic import Field

from treadle.experiment.spec.base import Spec


class Claim(Spec):
    """A promise about a number, which the evaluation must not contradict."""

    metric: str
    """Metric of the model on the test split, or `<part>.<number>` as in `evaluation/numbers.json`."""
    slice: str | None = None
    """Declared slice of the test split in which it holds, such as `origin = JFK`; null: all rows."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """Least value."""
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    """Largest value."""

    @pydantic.model_validator(mode="after")
    def _promise(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a claim says `at_least` or `at_most`, or both")
        return self


class ModelCard(Spec):
    """What only a person can say in the model card; whatever stands here changes no number."""

    summary: str | None = None
    """What the model is, in a sentence or two."""
    licence: str | None = Field(default=None, pattern=r"^[a-z0-9.-]+$")
    """Identifier of the model's licence as Hugging Face writes it, such as `apache-2.0`."""
    owners: list[str] = []
    """Who answers for the model."""
    intended_use: str | None = None
    """For whom and for what decisions it is made."""
    out_of_scope: list[str] = []
    """Uses that it is not made for."""
    limitations: list[str] = []
    """What a user must know that no number shows."""
    ethical_considerations: str | None = None
    """Whom its mistakes harm, and what is done about it."""
    human_oversight: str | None = None
    """Who can overrule a prediction, and how."""
    monitoring: str | None = None
    """How it is watched once it is in use."""
    claims: list[Claim] = []
    """What the card promises; a claim that the evaluation contradicts fails the stage `evaluate`."""


def is_silent(card: Any) -> bool:
    """Whether nothing is said, so that the experiment reads as if the group did not exist."""
    return bool(card == ModelCard())
