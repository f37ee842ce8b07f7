"""The metadata of a bundle: a card with what training learned, and the experiment that made it."""

from __future__ import annotations

import math
import operator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import pydantic
from pydantic import AfterValidator, Field

from treadle.bundle.calibration import ByLabel, Calibration, Isotonic
from treadle.bundle.conformal import Band, Conformal, Sets
from treadle.data.casting import WORDS
from treadle.errors import TreadleError
from treadle.experiment.spec import ChosenModel, Data, Experiment, Features, Loss, MemberName, Schedule, Spec, Target
from treadle.hints import show
from treadle.json_files import read_json
from treadle.schema import MEDIAN, Link, Share, Split, Task
from treadle.tasks import TRAITS
from treadle.validation import describe_first

FORMAT = 2  # of the files; a bundle of another format must be trained again
MAX_COLUMNS = 50_000  # of the examples, or of all tables
MAX_STEPS = 4_000  # of the features, their blocks included
MAX_MEMBERS = 1_000  # of a blend
_WORDS = {str(dtype): word for dtype, word in WORDS.items()}


def _check_dtype(text: str) -> str:
    if text not in _WORDS:
        raise ValueError(f"must be one of {', '.join(_WORDS)}")
    return text


Dtype = Annotated[str, AfterValidator(_check_dtype)]  # as Polars writes it, of those that examples have
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256
Weight = Annotated[float, Field(gt=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def is_missing(value: object) -> bool:
    """Whether a key is left out of the card: a bundle without it is as it was before there was one."""
    return value is None


class Standard(Spec):
    """Standardization of the target of a value: the network predicts (target - mean) / scale, or its logarithm."""

    mean: Finite  # 0 for other tasks
    scale: Annotated[Finite, Field(gt=0)]  # 1 for other tasks
    link: Link = "identity"  # whether outputs are predictions or, of a mean of 0, their logarithms
    levels: Annotated[list[Share], Field(max_length=99)] = Field(default=[], exclude_if=operator.not_)  # of quantiles

    @pydantic.model_validator(mode="after")
    def _order(self) -> Self:
        if self.levels and (MEDIAN not in self.levels or any(a >= b for a, b in pairwise(self.levels))):
            raise ValueError(f"levels rise, and have {MEDIAN} among them")
        return self


class Card(Spec):
    """What is needed to read rows and outputs, besides features and weights. A new property is a key here."""

    format: int = Field(default=FORMAT, ge=FORMAT, le=FORMAT)  # of the bundle's files
    task: Task  # the kind of prediction
    classes: list[str]  # of a multiclass task, or names of several labels, in the order of the outputs; else empty
    columns: dict[str, Dtype] = Field(max_length=MAX_COLUMNS)  # of the examples, as the stage `prepare` writes them
    target: Standard  # the unit of the outputs
    trained_on: list[Split] = Field(
        default=["train"]
    )  # whose rows the weights saw; transforms are fitted on `train` alone
    code: dict[str, str]  # that a prediction needs: a hash for each module, or a package's version
    calibration: Calibration | None = Field(default=None, exclude_if=is_missing)  # of the probabilities
    storage: Literal["int8"] | None = Field(
        default=None, exclude_if=is_missing
    )  # of the weights in their file, see `bundle/packing.py`; None: as they are computed with
    thresholds: list[Share] = Field(default=[], exclude_if=operator.not_)  # of labels: from which on each is predicted
    conformal: Conformal | None = Field(default=None, exclude_if=is_missing)  # intervals, or sets of classes
    optimizer: Digest | None = Field(
        default=None, exclude_if=is_missing
    )  # of the optimizer's state, which lies in the run, not in the bundle; None: it keeps none
    members: dict[MemberName, Weight] = Field(default_factory=dict, max_length=MAX_MEMBERS)  # of a blend, else none
    files: dict[str, Digest] = Field(default_factory=dict)  # digest of each other file, once they are written

    @pydantic.model_validator(mode="after")
    def _fit_task(self) -> Self:
        if TRAITS[self.task].has_classes != bool(self.classes):
            raise ValueError(f"a multiclass task has classes, a multilabel one labels, others none; found {self.task}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class is listed twice")
        if not TRAITS[self.task].is_value and self.target != Standard(mean=0, scale=1):
            raise ValueError("only a value has a target with a mean and a scale")
        if self.target.link == "log" and self.target.mean != 0:
            raise ValueError("a target whose logarithm is predicted has a mean of 0")
        if self.calibration is not None and TRAITS[self.task].is_value:
            raise ValueError("a regression has no probabilities to calibrate")
        if isinstance(self.calibration, Isotonic) and len(self.calibration.curves) != max(1, len(self.classes)):
            raise ValueError("an isotonic calibration has a curve for each class; one for two classes")
        if self.members and not math.isclose(sum(self.members.values()), 1, abs_tol=1e-9):
            raise ValueError("the weights of the members must add up to 1")
        return self

    @pydantic.model_validator(mode="after")
    def _fit_labels(self) -> Self:
        if self.calibration is not None and isinstance(self.calibration, ByLabel) != (self.task == "multilabel"):
            raise ValueError("several labels are calibrated one by one, nothing else is")
        if isinstance(self.calibration, ByLabel) and len(self.calibration.labels) != len(self.classes):
            raise ValueError("there is a calibration for each label, or null")
        if self.thresholds and (self.task != "multilabel" or len(self.thresholds) != len(self.classes)):
            raise ValueError("several labels have a threshold each, nothing else has")
        return self

    @pydantic.model_validator(mode="after")
    def _fit_conformal(self) -> Self:
        if self.conformal is not None and isinstance(self.conformal, Sets) == TRAITS[self.task].is_value:
            raise ValueError("conformal: a regression has intervals, a classification has sets")
        if isinstance(self.conformal, Band) != bool(self.conformal and self.target.levels):
            raise ValueError("conformal: quantiles have a band, other predictions have none")
        if self.conformal is not None and self.task == "multilabel":
            raise ValueError("conformal: several labels have no sets")
        if isinstance(self.conformal, Sets) and len(self.conformal.thresholds) != max(2, len(self.classes)):
            raise ValueError("conformal: there is a threshold for each class")
        return self


class Recipe(Spec):
    """The slices of the experiment that made a bundle."""

    seed: int
    data: Data
    features: Features
    model: ChosenModel
    schedule: Schedule
    loss: Loss
    augmentation: Target

    @classmethod
    def take(cls, experiment: Experiment) -> Self:
        """The slices of a whole experiment, whose model is chosen."""
        values = experiment.model_dump()
        return cls.model_validate({name: values[name] for name in cls.model_fields})

    @pydantic.model_validator(mode="after")
    def _find_table(self) -> Self:
        if self.data.examples.table not in self.data.tables:
            raise ValueError(f"data.examples.table: no table {self.data.examples.table!r}")
        return self

    @pydantic.model_validator(mode="after")
    def _limit_size(self) -> Self:
        """Refuse sizes that would take seconds to read or build: no table of such a size could have been trained on."""
        if sum(len(table.columns) for table in self.data.tables.values()) > MAX_COLUMNS:
            raise ValueError(f"data.tables: more than {MAX_COLUMNS:,} columns")
        if sum(1 + len(block.steps) for block in self.features.blocks.values()) > MAX_STEPS:
            raise ValueError(f"features.blocks: more than {MAX_STEPS:,} blocks and steps")
        return self


Model = TypeVar("Model", bound=Spec)


def read_card(file: Path) -> Card:
    """The card of a bundle.

    Raises:
        TreadleError: it is invalid, or of another format.
    """
    values = read_json(file)
    found = values.get("format") if isinstance(values, dict) else None
    if isinstance(found, int | None) and found != FORMAT:
        raise TreadleError(f"{file}: format must be {FORMAT}, found {show(found)}; train the model again")
    return _validate(Card, values, file)


def read_recipe(file: Path) -> Recipe:
    """The experiment of a bundle.

    Raises:
        TreadleError: it is invalid.
    """
    return _validate(Recipe, read_json(file), file)


def _validate(model: type[Model], values: Any, file: Path) -> Model:
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        raise TreadleError(f"{file}: {describe_first(error)}") from error
