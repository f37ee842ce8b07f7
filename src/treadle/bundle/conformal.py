"""Conformal prediction: intervals of a regression, and sets of classes, that hold what comes as often as declared.

That holds for rows that are like those of the validation split, whatever the model is (Vovk, Gammerman and Shafer,
"Algorithmic learning in a random world", 2005); a world that moves takes it away.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
import polars as pl
import pydantic
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from treadle.experiment.spec import Spec
from treadle.schema import BINARY_CLASSES

MAX_KNOTS = 1_000
MAX_CLASSES = 10_000
LOW, HIGH, SET = "low", "high", "set_"  # columns of predictions; `set_<class>` says whether the set holds the class

Finite = Annotated[float, Field(allow_inf_nan=False)]
Floats = NDArray[np.float64]


class Spread(Spec):
    """How far predictions of a size are off: a line through knots, constant outside of them."""

    x: Annotated[list[Finite], Field(min_length=1, max_length=MAX_KNOTS)]  # prediction
    y: Annotated[list[Annotated[Finite, Field(gt=0)]], Field(min_length=1, max_length=MAX_KNOTS)]  # unit of the target

    @pydantic.model_validator(mode="after")
    def _rise(self) -> Self:
        if len(self.x) != len(self.y) or any(a >= b for a, b in pairwise(self.x)):
            raise ValueError("a spread has as many x as y, and its x rise")
        return self


class Span(Spec):
    """Intervals of a regression: a multiple of the spread below the prediction, and one above."""

    kind: Literal["interval"] = "interval"
    coverage: Annotated[float, Field(ge=0.5, lt=1)]
    below: Finite  # of the spread, negative where it is below
    above: Finite
    spread: Spread
    least: Finite | None = None  # value below which there is none, such as 0 of an amount

    def bound(self, prediction: Floats) -> tuple[Floats, Floats]:
        """`[B]` lower and upper ends."""
        spread = np.interp(prediction, self.spread.x, self.spread.y)
        low, high = prediction + self.below * spread, prediction + self.above * spread
        return (low, high) if self.least is None else (low.clip(self.least), high.clip(self.least))


class Band(Spec):
    """Intervals of a regression that predicts quantiles: the lowest and the highest one, each moved."""

    kind: Literal["band"] = "band"
    coverage: Annotated[float, Field(ge=0.5, lt=1)]
    below: Finite  # what is added to the lowest quantile
    above: Finite  # and to the highest one

    def bound(self, quantiles: Floats) -> tuple[Floats, Floats]:
        """`[B]` lower and upper ends, of `[B, Q]`; they meet in the middle where they would cross."""
        low, high = quantiles[:, 0] + self.below, quantiles[:, -1] + self.above
        middle = (low + high) / 2
        return np.minimum(low, middle), np.maximum(high, middle)


class Sets(Spec):
    """Sets of classes: each with at least its probability, and the most probable one in any case."""

    kind: Literal["set"] = "set"
    coverage: Annotated[float, Field(ge=0.5, lt=1)]
    thresholds: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=MAX_CLASSES)]

    def choose(self, chances: Floats) -> NDArray[np.bool_]:
        """`[B, K]` whether a class is in the set, of `[B, K]` probabilities."""
        chosen: NDArray[np.bool_] = chances >= np.array(self.thresholds)
        chosen[np.arange(len(chances)), chances.argmax(axis=1)] = True
        return chosen


Conformal = Annotated[Span | Band | Sets, Field(discriminator="kind")]


def spread_classes(chances: Floats) -> Floats:
    """`[B, K]` probabilities; of `[B]` those of the negative and the positive class."""
    return np.column_stack([1 - chances, chances]) if chances.ndim == 1 else chances


def name_ends(outputs: Tensor, conformal: Span | Band | Sets | None, *, classes: list[str]) -> list[pl.Series]:
    """The columns that a conformal prediction adds to predictions `[B]`, or `[B, K]` of classes or quantiles."""
    values = outputs.double().numpy()
    if isinstance(conformal, Span | Band):
        return [pl.Series(name, ends) for name, ends in zip((LOW, HIGH), conformal.bound(values), strict=True)]
    if isinstance(conformal, Sets):
        chosen = conformal.choose(spread_classes(values))
        return [pl.Series(f"{SET}{name}", chosen[:, k]) for k, name in enumerate(classes or BINARY_CLASSES)]
    return []
