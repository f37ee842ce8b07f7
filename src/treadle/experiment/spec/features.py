"""Group `features`: row-wise expressions, then transforms that are fitted to the training set."""

from __future__ import annotations

from pydantic import Field

from treadle.experiment.kinds import RAW
from treadle.experiment.spec.base import Spec, Sql, Target, Word, is_unset
from treadle.schema import Count


class Block(Spec):
    """Columns that go through the same fitted steps, in order."""

    columns: list[str] = Field(min_length=1)
    """Input columns: of the examples, or derived."""
    steps: dict[Word, Target]
    """Transforms in order, by name; each a `_target_`."""


class Features(Spec):
    """Row-wise expressions, then transforms that are fitted to the training set."""

    derive: dict[str, Sql] = {}
    """New columns: a name, and an SQL expression over one example."""
    blocks: dict[Word, Block] = Field(min_length=1)
    """Groups of columns with the same steps, by name."""
    fit_rows: Count | None = None
    """Number of training rows, drawn uniformly, that transforms are fitted to; null: all of them, in memory [rows]."""

    start_from: str | None = Field(default=None, exclude_if=is_unset)
    """Run, or folder of a bundle, whose fitted transforms are kept, and whose vocabularies grow by the words of the
    training rows; null: all is fitted to the training rows."""

    @property
    def is_raw(self) -> bool:
        """Whether numbers come as they are, missing ones as NaN."""
        return any(node["_target_"] == RAW for block in self.blocks.values() for node in block.steps.values())
