"""Group `replay`: how `treadle replay` finds out how often a model should be trained again, and on what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field

from treadle.experiment.calendar import parse_step
from treadle.experiment.spec.base import Duration, Moment, Name, Spec, is_unset
from treadle.schema import Count, Share, StartOptimizer


def check_step(text: str) -> str:
    """Refuse a text that is no step of the calendar."""
    parse_step(text)
    return text


CalendarStep = Annotated[str, AfterValidator(check_step)]  # "1mo", "2w", "1y"
Window = Count | Literal["all"]
Warm = Literal["refit", "keep"]


def _is_anew(value: object) -> bool:
    """Whether the key is left out: a replay without it is as it was before there was one."""
    return value == "anew"


class RetrainingPolicy(Spec):
    """What the policies have in common."""

    window: Window = "all"
    """How much of the past a model learns from: all, or so many of the newest blocks [blocks]."""


class Never(RetrainingPolicy):
    """The first model stays."""

    by: Literal["never"]
    """When a new model is trained."""


class OnSchedule(RetrainingPolicy):
    """A new model whenever so many blocks have passed."""

    by: Literal["schedule"]
    """When a new model is trained."""
    every: Count
    """Blocks between two trainings [blocks]."""
    warm: Warm | None = Field(default=None, exclude_if=is_unset)
    """With `every: 1`, how a network goes on from the weights of the block before: by transforms that are fitted anew
    (refit), or kept (keep); null: it begins anew."""
    optimizer: StartOptimizer = Field(default="anew", exclude_if=_is_anew)
    """With `warm`, whether the optimizer begins anew, or continues with its state of the block before."""


class OnPerformance(RetrainingPolicy):
    """A new model when the one in use has lost skill, which is 1 - its loss / the loss of the prior.

    The loss alone would mostly see how frequent the classes are: the prior predicts that frequency in the same rows.
    """

    by: Literal["performance"]
    """When a new model is trained."""
    drop: Share
    """Share of its first skill that the model has lost."""


class OnAlarm(RetrainingPolicy):
    """A new model when the inputs have drifted, by the charts of `treadle monitor`, whatever that does to predictions.

    They need no label, and so no delay.
    """

    by: Literal["alarm"]
    """When a new model is trained."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Share of the blocks of monitoring, by `evaluation.reference.blocks`, that alarm since the block before."""
    false_alarms: Share
    """Share of normal blocks of monitoring that may alarm, of all columns together."""


Policy = Annotated[Never | OnSchedule | OnPerformance | OnAlarm, Discriminator("by")]


class ReplayCost(Spec):
    """What is paid, all in one unit of money."""

    training_hour: float = Field(ge=0)
    """An hour of training."""
    label: float = Field(ge=0)
    """A label that a training, or a look at the performance, needs."""
    missed: float | None = Field(gt=0)
    """A positive row that is left alone, of a binary task; null: decisions are not weighed."""
    false_alarm: float | None = Field(gt=0)
    """A negative row that is acted on; rows are acted on where that is expected to cost less."""


class Replay(Spec):
    """A matrix of models by later blocks of time, and the policies that walk through it; no part of any run."""

    step: CalendarStep
    """Length of a block; a model can be trained at the start of each [calendar step: d, w, mo, y]."""
    first: Moment | None
    """When the first model is trained; null: after `min_history` blocks of rows [UTC]."""
    last: Moment | None
    """End of the last block; null: that of the rows [UTC]."""
    min_history: Annotated[int, Field(ge=1)]
    """Blocks of rows before the first model, where `first` is null [blocks]."""
    valid: Duration
    """Newest part of the past, on which a training is validated [duration]."""
    policies: dict[Name, Policy] = Field(min_length=1)
    """When a new model is trained, and on what, by a name of your own."""
    cost: ReplayCost
    """What trainings, labels and wrong decisions cost."""
