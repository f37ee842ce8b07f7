"""Group `model`: a network, a blend of several models, or a rule that chooses one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from treadle.experiment.spec.base import Duration, Spec, Target
from treadle.experiment.spec.features import Features
from treadle.experiment.spec.loss import Loss
from treadle.experiment.spec.schedule import Schedule
from treadle.schema import Count

MemberName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]  # also that of a folder


def is_one(value: object) -> bool:
    """Whether each member is trained on one fold: then the key stays out of what is frozen."""
    return value == "one"


class Member(Spec):
    """A member of a blend: this experiment with another model, and with other sections where they are given."""

    model: Target
    """Model of the member; a `_target_`."""
    features: Features | None = None
    """Features of the member; null: those of the experiment."""
    schedule: Schedule | None = None
    """Schedule of the member; null: that of the experiment."""
    loss: Loss | None = None
    """Loss of the member; null: that of the experiment."""

    @property
    def given(self) -> dict[str, Any]:
        """The sections that take the place of the experiment's."""
        return {name: value for name in Member.model_fields if (value := getattr(self, name)) is not None}


class Blend(Spec):
    """Models that are trained each by itself, and predict together: the weighted mean of their predictions."""

    members: dict[MemberName, Member] = Field(min_length=1)
    """Members by name; each is a run of its own."""
    rounds: Count
    """Rounds of the greedy selection, each of which adds one member; weights are multiples of 1 / rounds."""
    folds: Literal["one", "all"] = Field(default="one", exclude_if=is_one)
    """Folds of `data.split` that each member is trained on: one, `data.split.fold`; or all, so that the mean of a
    member's models predicts, and its weight comes from the out-of-fold predictions of all rows."""


class Cost(Spec):
    """Measured work of a training, in seconds of a nominal core; it is declared, so that no clock decides."""

    step: float = Field(ge=0)
    """Work of a training step, whatever its size [seconds]."""
    row: float = Field(ge=0)
    """Work of a row in a pass over the training set [seconds]."""
    input: float = Field(ge=0)
    """Additional work of each input of the row [seconds]."""
    passes: float | None = Field(default=None, gt=0)
    """Passes over the training set, a step each, of a model that trains itself; null: as the schedule says."""
    per_class: bool = False
    """Whether each class is another model, as with trees."""


class Candidate(Member):
    """A candidate of a rule: a member of a blend, its cost, and how many rows it needs."""

    cost: Cost
    """Measured work of its training."""
    min_rows: int = Field(default=0, ge=0)
    """Minimum number of training rows; with fewer the candidate is left out [rows]."""


class ModelRule(Spec):
    """A rule in place of a model: the candidates that fit a budget of work are trained, judged and blended."""

    budget: Duration
    """Maximum predicted work of all trainings together, in time of a nominal core [duration]."""
    candidates: dict[MemberName, Candidate] = Field(min_length=1)
    """Candidates by name, in rising cost."""
    rounds: Count
    """Rounds of the greedy selection of the blend."""
    fold_rows: int = Field(default=0, ge=0)
    """Number of training rows below which candidates are trained on all folds, where the split is drawn in folds; 0:
    always on one [rows]."""


class ModelChoice(Spec):
    """Which candidates a rule lets train, and why: a record that nothing reads."""

    members: dict[str, float]
    """Candidates that are trained, each with its predicted work [seconds]."""
    left_out: dict[str, str]
    """The others, each with the reason."""
    budget: Duration
    """Maximum predicted work of all trainings together, in time of a nominal core [duration]."""
    predicted: float
    """Predicted work of those that are trained, without early stopping, in time of a nominal core [seconds]."""
    rows: int
    """Size of the training set, before exclusions [rows]."""
    folds: Count = Field(default=1, exclude_if=lambda value: value == 1)
    """Number of folds that each of them is trained on."""
    source: Literal["footers", "heads"]
    """Where the number of rows comes from: Parquet footers, or an estimate from the heads of text files."""

    def __str__(self) -> str:
        """What is trained, and what is not."""
        tried = ", ".join(f"{name} {format_work(seconds)}" for name, seconds in self.members.items())
        kind = "" if len(self.members) == 1 and self.folds == 1 else "a blend of "
        folds = "" if self.folds == 1 else f", each on {self.folds} folds"
        left = "".join(f"; {name}: {reason}" for name, reason in self.left_out.items())
        return f"{kind}{tried}{folds}: {format_work(self.predicted)} of {self.budget} of a core at most{left}"


def format_work(seconds: float) -> str:
    """A duration in two digits: `0.4 s`, `38 s`, `6.2 min`, `3.1 h`."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{_round(seconds / size)} {unit}"
    return f"{_round(seconds)} s"


def _round(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:g}" if rounded < 1e6 else f"{rounded:,.0f}"  # noqa: PLR2004 - above, %g writes exponents


def is_rule(model: Any) -> bool:
    """Whether a model is a rule that has not chosen yet."""
    return isinstance(model, ModelRule) or (
        isinstance(model, dict) and "candidates" in model and "_target_" not in model
    )


def is_blend(model: Any) -> bool:
    """Whether a model is a blend."""
    return isinstance(model, Blend) or (isinstance(model, dict) and "members" in model and "_target_" not in model)


def _find_tag(value: Any) -> str:
    return "rule" if is_rule(value) else "blend" if is_blend(value) else "network"


_Network = Annotated[Target, Tag("network")]
_Blend = Annotated[Blend, Tag("blend")]
Model = Annotated[_Network | _Blend | Annotated[ModelRule, Tag("rule")], Discriminator(_find_tag)]
ChosenModel = Annotated[_Network | _Blend, Discriminator(_find_tag)]
