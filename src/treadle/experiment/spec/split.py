"""How the examples are split into training, validation and test sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from treadle.experiment.spec.base import Duration, Moment, Spec, is_unset
from treadle.schema import Count, Seed, Share

Folds = Annotated[int, Field(ge=2)]
Fold = Annotated[int, Field(ge=0)]


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
    train_from: Moment | None = Field(default=None, exclude_if=is_unset)
    """Start of the training set; null: all that is before `valid_from` [UTC]."""
    test_to: Moment | None = Field(default=None, exclude_if=is_unset)
    """End of the test set, which is not in it; null: all from `test_from` on [UTC]."""


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


class RandomFolds(Spec):
    """What folds have in common that are drawn at random, outside of a test set."""

    folds: Folds
    """Number of folds."""
    repeats: Count = 1
    """How often the rows are divided into folds, each time anew; the test set stays the same."""
    fold: Fold
    """The fold that validates, from 0 to folds * repeats - 1; a sweep over it runs them all."""
    test: Share
    """Fraction of the rows, or of the groups, in the test set."""
    seed: Seed
    """Random seed of the split."""

    @property
    def num_folds(self) -> int:
        """Those of all repeats."""
        return self.folds * self.repeats


class KFold(RandomFolds):
    """Folds of random rows: one of them validates, the others train. The test set is outside of all folds."""

    by: Literal["kfold"]
    """Kind of split."""


class StratifiedKFold(RandomFolds):
    """Folds of random rows within each value of a column, so that its distribution is the same in every fold."""

    by: Literal["stratified_kfold"]
    """Kind of split."""
    column: str
    """Column to stratify by."""


class GroupKFold(RandomFolds):
    """Folds of whole groups: all rows of a group are in the same fold, or in the test set."""

    by: Literal["group_kfold"]
    """Kind of split."""
    column: str
    """Column that names the group of a row."""


class TimeSeriesFolds(Spec):
    """Folds one after the other in prediction time, of equally many rows: a fold validates what precedes it.

    The rows before `test_from` are cut into one period more than there are folds: the first one only trains. What
    follows the fold is left out.
    """

    by: Literal["time_series"]
    """Kind of split."""
    folds: Folds
    """Number of folds."""
    fold: Fold
    """The fold that validates, from 0 to folds - 1, the last one just before the test set; a sweep runs them all."""
    test_from: Moment
    """Start of the test set [UTC]."""
    gap: Duration
    """Time left out before the validation set and before the test set [duration]."""

    @property
    def num_folds(self) -> int:
        """Each one later than the one before."""
        return self.folds


FoldRule = KFold | StratifiedKFold | GroupKFold | TimeSeriesFolds
SplitRule = Annotated[
    TimeSplit | RandomSplit | StratifiedSplit | GroupSplit | ColumnSplit | FoldRule, Discriminator("by")
]


def get_split_column(rule: SplitRule) -> str | None:
    """The column of the examples' table by which a split goes; None: it goes by none."""
    column: str | None = getattr(rule, "column", None)
    return column
