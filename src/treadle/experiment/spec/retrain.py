"""Group `retrain`: when `treadle retrain` trains a new model, and what makes it champion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from treadle.experiment.spec.base import Duration, Name, Spec
from treadle.schema import Part, Share

Action = Literal["suggest", "replay", "retrain"]


class AgeRule(Spec):
    """The champion has learned nothing for so long."""

    by: Literal["age"]
    """What is looked at."""
    after: Duration
    """Time since the newest rows that could have been in its training [duration]."""
    do: Action
    """What is done: tell it; retrain if a replay of the past finds a gain; retrain."""


class PerformanceRule(Spec):
    """The champion has lost skill, which is 1 - its loss / the loss of the prior in the same rows."""

    by: Literal["performance"]
    """What is looked at."""
    drop: Share
    """Share of the skill on its own test rows that is lost on the newest rows with labels."""
    do: Action
    """What is done: tell it; retrain if a replay of the past finds a gain; retrain."""


class DataRule(Spec):
    """The data are another version than those that the last training read."""

    by: Literal["data"]
    """What is looked at."""
    do: Action
    """What is done: tell it; retrain if a replay of the past finds a gain; retrain."""


class AlarmRule(Spec):
    """`treadle monitor` alarmed. Inputs may drift without harm, so that this alone never trains."""

    by: Literal["alarm"]
    """What is looked at."""
    findings: str
    """`findings.json` of `treadle monitor --output`."""
    do: Literal["suggest"]
    """What is done: tell it."""


Rule = Annotated[AgeRule | PerformanceRule | DataRule | AlarmRule, Discriminator("by")]


class DataVersion(Spec):
    """The data are brought to their newest version by DVC before a decision."""

    file: str
    """The file `.dvc` of the data, as `dvc add` and `dvc import-url` write it."""
    by: Literal["pull", "update", "commit"]
    """How: `pull` fetches the version that the file names, which git has brought; `update` takes the newest from where
    the data were imported; `commit` makes a version of the files that lie there now."""


class Shadow(Spec):
    """A challenger that the gate would promote is first asked beside the champion, on live rows."""

    longest: Duration
    """Time after which a trial ends that has no verdict [duration]."""
    otherwise: Literal["promote", "stop"]
    """What becomes of a challenger without a verdict by then: the gate's word counts; or the champion stays."""
    alpha: Share
    """Chance of a false verdict, over all days on which one looks."""
    min_labels: Part
    """Share of a day's labels that must be there for it to count."""


class Retrain(Spec):
    """When a new model is trained, and what makes it champion; no part of any run."""

    block: Duration
    """Newest rows with labels, on which champion and challenger are compared [duration]."""
    valid: Duration
    """Rows before them, on which the training is validated [duration]."""
    window: Duration | None
    """Rows before these, which train; null: all of the past [duration]."""
    wait: Duration
    """After a training, no other one begins [duration]."""
    log: str
    """Folder of `serving.log` of the champion's server, to which `treadle feedback` adds labels."""
    rollback: bool
    """Whether the champion before takes over again where it would have answered better, by the labels of what the log
    has of the champion, beyond doubt; where no label of the log is there, on the newest rows, beyond noise."""
    shadow: Shadow | None = None  # the default is for a conf/retrain that is older than the key
    """A trial beside the champion before the promotion, by the log of a server with `serving.shadow.bundle=challenger`;
    null: the gate promotes."""
    version: DataVersion | None = None  # as above
    """The newest version of the data, by DVC, before a decision; null: the data as they lie there."""
    act: dict[Name, Rule | None] = Field(min_length=1)
    """Rules by a name of your own; of those that hold, the strongest action is taken; null: a rule that is left out."""
