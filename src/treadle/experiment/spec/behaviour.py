"""What a model must do when its rows change: `evaluation.behaviour`, by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field

from treadle.experiment.spec.base import Name, Spec, Sql
from treadle.schema import Positive


class Change(Spec):
    """Test rows that are predicted as they are, and changed."""

    change: dict[str, Sql] = {}
    """New values of columns of the examples: an SQL expression over an example for each, such as precip + 5 or NULL."""
    shuffle: list[str] = []
    """Columns whose values are exchanged among the rows."""
    noise: dict[str, Positive] = {}
    """Columns that get normal noise, each with a share of its standard deviation."""
    sample: Annotated[int, Field(ge=50)] = 2000
    """Most test rows that are changed, spread evenly [rows]."""


class Invariance(Change):
    """A change must not move the prediction."""

    by: Literal["invariance"]
    """What is asked: the kind of behaviour."""
    tolerance: Annotated[float, Field(ge=0)]
    """How far a prediction may move: a probability, or in the unit of the target."""
    min_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the rows whose prediction must stay within the tolerance [fraction]."""


class Direction(Change):
    """A change must not lower, or not raise, the prediction: on average, and in a share of the rows."""

    by: Literal["direction"]
    """What is asked: the kind of behaviour."""
    expect: Literal["not_lower", "not_higher"]
    """Where the prediction must not go."""
    outcome: str | None = None
    """Class whose probability is meant, of a multiclass task."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """How far the prediction of a row may go the wrong way: a probability, or in the unit of the target."""
    min_share: Annotated[float, Field(ge=0, le=1)]
    """Share of the rows that must obey [fraction]."""


class Perturbation(Change):
    """A disturbance, such as noise, missing values or a mistaken unit, must not cost more than this."""

    by: Literal["perturbation"]
    """What is asked: the kind of behaviour."""
    max_growth: Annotated[float, Field(ge=0)]
    """How much the loss (log loss, or squared error) may grow, relative to that of the unchanged rows [fraction]."""


class KnownRow(Spec):
    """A row, and what it must give."""

    values: dict[str, Any]
    """Values of columns of the examples; the others are typical of the test split: median, or most frequent value."""
    low: float | None = None
    """Lowest prediction that passes: a probability, or in the unit of the target."""
    high: float | None = None
    """Highest prediction that passes."""
    outcome: str | None = None
    """Class whose probability is meant, of a multiclass task."""


class Functionality(Spec):
    """Named rows must give what anybody would say of them."""

    by: Literal["functionality"]
    """What is asked: the kind of behaviour."""
    rows: Annotated[dict[Name, KnownRow], Field(min_length=1)]
    """The rows, by name."""


Behaviour = Annotated[Invariance | Direction | Perturbation | Functionality, Discriminator("by")]
