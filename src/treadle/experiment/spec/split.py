"""How the examples are split into training, validation and test sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator

from treadle.experiment.spec.base import Duration, Moment, Spec
from treadle.schema import Seed, Share


class TimeSplit(Spec):
    """By prediction time: train before `valid_from`, validation before `test_from`, test from there on."""

    by: Literal["time"]
    """Kind of split."""
    valid_from: Moment
    """Start of the validation set [UTC]."""
    test_from: Moment
    """Start of the test set [UTC]."""
    gap: Duration
    """Time left out before the validation set and before the test set [duration]."""


class RandomSplit(Spec):
    """Random sets of rows, whatever they hold."""

    by: Literal["random"]
    """Kind of split."""
    valid: Share
    """Fraction of the rows in the validation set."""
    test: Share
    """Fraction of the rows in the test set."""
    seed: Seed
    """Random seed of the split."""


class StratifiedSplit(Spec):
    """Random within each value of a column, so that its distribution is the same in every set."""

    by: Literal["stratified"]
    """Kind of split."""
    column: str
    """Column to stratify by."""
    valid: Share
    """Fraction of the rows in the validation set."""
    test: Share
    """Fraction of the rows in the test set."""
    seed: Seed
    """Random seed of the split."""


class GroupSplit(Spec):
    """Random over the values of a column: all rows of a group are in the same set."""

    by: Literal["group"]
    """Kind of split."""
    column: str
    """Column that names the group of a row."""
    valid: Share
    """Fraction of the groups in the validation set."""
    test: Share
    """Fraction of the groups in the test set."""
    seed: Seed
    """Random seed of the split."""


class ColumnSplit(Spec):
    """By a column of the data that names the set. A validation set that it does not name is drawn from training."""

    by: Literal["column"]
    """Kind of split."""
    column: str
    """Column that names the set of a row."""
    train: list[str]
    """Values of the column for the training set."""
    test: list[str]
    """Values of the column for the test set."""
    valid: list[str] = []
    """Values of the column for the validation set."""
    valid_share: Share | None = None
    """Fraction of the training rows that becomes the validation set, where `valid` is empty."""
    seed: Seed
    """Random seed of the split."""


SplitRule = Annotated[TimeSplit | RandomSplit | StratifiedSplit | GroupSplit | ColumnSplit, Discriminator("by")]
