"""What a batch has predicted so far, which each part adds to; kept beside the predictions, so that a batch resumes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Self

from treadle.bundle.breaches import describe_breaches
from treadle.data.contract import NUM_EXAMPLES, Breach


@dataclass(frozen=True)
class Tally:
    """Counts of rows, and what is wrong with those that break the contract."""

    num_rows: int = 0
    num_broken: int = 0  # rows that break the contract
    num_rejected: int = 0  # of these, the ones that have no prediction
    breaches: tuple[Breach, ...] = ()  # one a column and rule

    def add(self, *, num_rows: int, num_broken: int, rejects: bool, breaches: list[Breach]) -> Self:
        """With another part."""
        found = {(breach.column, breach.rule): breach for breach in self.breaches}
        for breach in breaches:
            before = found.get((breach.column, breach.rule), replace(breach, count=0, examples=[]))
            examples = [*before.examples, *breach.examples][:NUM_EXAMPLES]
            merged = replace(before, count=before.count + breach.count, examples=examples)
            found[breach.column, breach.rule] = merged
        return type(self)(
            self.num_rows + num_rows,
            self.num_broken + num_broken,
            self.num_rejected + (num_broken if rejects else 0),
            tuple(found.values()),
        )

    def describe(self) -> str:
        """The rows that break the contract; empty if there are none."""
        return describe_breaches(self.breaches, count=self.num_broken, num_rows=self.num_rows) if self.breaches else ""

    def write(self) -> str:
        """As a text."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        """From what `write` gave."""
        values = json.loads(text)
        return cls(**{**values, "breaches": tuple(Breach(**breach) for breach in values["breaches"])})
