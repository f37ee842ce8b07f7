"""What decisions gain: `evaluation.value`, by what there is to decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from treadle.experiment.spec.base import Name, Spec, Sql
from treadle.schema import LABEL, DataTask, Share

PREDICTION = "prediction"  # name of what was decided, in a gain
OUTCOMES = ("true_positive", "false_positive", "false_negative", "true_negative")

Gain = float | Sql


def _is_default(_: Any) -> bool:
    """Left out, so that an experiment is what it was before the key existed."""
    return True


class OutcomeValue(Spec):
    """What the outcome of a decision gains: to act on a row, or to leave it alone; a cost is below 0."""

    tasks: ClassVar[tuple[DataTask, ...]] = ("binary",)
    reads: ClassVar[tuple[str, ...]] = ()  # what a gain may name beside the columns

    by: Literal["outcomes"] = Field(default="outcomes", exclude_if=_is_default)
    """What gains: the four outcomes of a binary task, decisions by class, or a number that is decided."""
    unit: str = Field(min_length=1)
    """Unit of the gains, such as dollars."""
    true_positive: Gain
    """Gain of acting on a positive row: a number, or an SQL expression over the example."""
    false_positive: Gain
    """Gain of acting on a negative row."""
    false_negative: Gain
    """Gain of leaving a positive row alone."""
    true_negative: Gain
    """Gain of leaving a negative row alone."""
    top: list[Share]
    """Shares of the rows with the highest predictions whose precision is told."""

    def list_gains(self) -> Mapping[str, Gain]:
        """Each gain, by its key."""
        return {name: getattr(self, name) for name in OUTCOMES}


class DecisionValue(Spec):
    """What each decision gains where each class is true; the model takes the one that it expects to gain most."""

    tasks: ClassVar[tuple[DataTask, ...]] = ("multiclass",)
    reads: ClassVar[tuple[str, ...]] = ()

    by: Literal["decisions"]
    """What gains: the four outcomes of a binary task, decisions by class, or a number that is decided."""
    unit: str = Field(min_length=1)
    """Unit of the gains, such as dollars."""
    decisions: dict[Name, dict[str, Gain]] = Field(min_length=2)
    """What can be done, by a name of your own: the gain for every class, a number or an SQL expression over the
    example."""

    def list_gains(self) -> Mapping[str, Gain]:
        """Each gain, by its key."""
        return {
            f"decisions.{decision}.{name}": gain
            for decision, gains in self.decisions.items()
            for name, gain in gains.items()
        }


class NumberValue(Spec):
    """What it gains to decide by a predicted number, such as how much to order, by the number that comes true."""

    tasks: ClassVar[tuple[DataTask, ...]] = ("regression", "count", "forecast")
    reads: ClassVar[tuple[str, ...]] = (PREDICTION, LABEL)

    by: Literal["number"]
    """What gains: the four outcomes of a binary task, decisions by class, or a number that is decided."""
    unit: str = Field(min_length=1)
    """Unit of the gain, such as dollars."""
    gain: Sql
    """Gain of a row: an SQL expression over `prediction`, which is what was decided, `label` and the example."""
    adjust: Literal["none", "shift", "scale"]
    """How predictions become decisions: as they are, plus a number, or times a number, the best of the valid split."""

    def list_gains(self) -> Mapping[str, Gain]:
        """The gain, by its key."""
        return {"gain": self.gain}


def _find_kind(value: Any) -> str:
    given = value.get("by", "outcomes") if isinstance(value, Mapping) else getattr(value, "by", "outcomes")
    return str(given)


Value = Annotated[
    Annotated[OutcomeValue, Tag("outcomes")]
    | Annotated[DecisionValue, Tag("decisions")]
    | Annotated[NumberValue, Tag("number")],
    Discriminator(_find_kind),
]
