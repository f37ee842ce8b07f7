"""Group `model`: the network, or a rule that chooses one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from treadle.experiment.spec.base import Duration, Spec, Target


class Rung(Spec):
    """A candidate model, and how many rows it needs."""

    option: str
    """Option of the group `model`."""
    set: dict[str, Any] = {}
    """Values that differ from the option's."""
    min_rows: int = Field(default=0, ge=0)
    """Minimum number of training rows; with fewer the candidate is skipped [rows]."""


class Speed(Spec):
    """Nominal training speed of a device; it is declared, so that the choice is the same on every machine."""

    step: float = Field(ge=0)
    """Overhead of a training step, whatever its size [seconds]."""
    products: float = Field(gt=0)
    """Multiplications with weights per second."""
    values: float = Field(gt=0)
    """Values that layers write per second."""


class Speeds(Spec):
    """Nominal training speeds of one CPU core and one GPU."""

    cpu: Speed
    """One CPU core."""
    gpu: Speed
    """One GPU."""


class ModelRule(Spec):
    """A rule that chooses the network: the last candidate that trains within the budget."""

    budget: Duration
    """Maximum training time on the nominal device [duration]."""
    ladder: list[Rung] = Field(min_length=1)
    """Candidates, from the weakest to the best model."""
    speeds: Speeds
    """Nominal training speeds of devices."""


class ModelChoice(Spec):
    """Which model a rule chose, and why: a record that nothing reads."""

    option: str
    """Option of the group `model`."""
    set: dict[str, Any]
    """Values that differ from the option's."""
    why: str
    """Reason of the choice."""
    budget: Duration
    """Maximum training time on the nominal device [duration]."""
    predicted: float
    """Estimated training time on the nominal device, without early stopping [seconds]."""
    device: Literal["cpu", "gpu"]
    """Kind of the nominal device."""
    rows: int
    """Size of the training set, before exclusions [rows]."""
    source: Literal["footers", "heads"]
    """Where the number of rows comes from: Parquet footers, or an estimate from the heads of text files."""
    numbers: int
    """Number of numeric inputs of the model, after the transforms."""
    categories: int
    """Number of categorical inputs of the model."""

    def __str__(self) -> str:
        """The option, its values that differ, and why."""
        values = ", ".join(f"{name} {value}" for name, value in self.set.items())
        return f"{self.option}{f' ({values})' if values else ''}: {self.why}"


def is_rule(model: Any) -> bool:
    """Whether a model is a rule that has not chosen its network yet."""
    return isinstance(model, ModelRule) or (isinstance(model, dict) and "ladder" in model and "_target_" not in model)


def _find_tag(value: Any) -> str:
    return "rule" if is_rule(value) else "network"


Model = Annotated[Annotated[Target, Tag("network")] | Annotated[ModelRule, Tag("rule")], Discriminator(_find_tag)]
