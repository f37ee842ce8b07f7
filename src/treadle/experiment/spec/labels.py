"""`data.labels`: label functions, which guess the label of training rows, and the model that joins their votes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from treadle.experiment.spec.base import Spec, Sql, Word
from treadle.schema import Share

Balance = Annotated[dict[str, Share], Field(min_length=2)] | Literal["validation", "votes"]


class Labels(Spec):
    """Labels of training rows by the votes of rules. Validation and test rows keep their own label, or are left out."""

    rules: Annotated[dict[Word, Sql], Field(min_length=1)]
    """Label functions: a name, and an SQL expression over a row, whose value is a class, or NULL where it abstains."""
    rows: Literal["unlabelled", "all"]
    """Training rows that the votes label: those whose own label is missing, or all, whatever label they have."""
    model: Literal["triplets", "majority"]
    """How votes are joined: by the accuracies of the rules, estimated without labels, or by the majority."""
    balance: Balance
    """Share of each class: given, or counted in the validation set, or estimated from the votes."""
