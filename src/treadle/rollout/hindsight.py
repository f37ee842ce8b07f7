"""What the champion before would have answered: the realised losses of both, on the rows that the present one answered.

The present champion is judged by the answers that its server gave, and by the labels that came since, day by day as in
a trial; the one before predicts the same rows anew, as the log has them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from treadle.bundle.card import Card
from treadle.errors import TreadleError
from treadle.rollout.evidence import (
    THEIRS,
    Day,
    UnreadableError,
    compare_pairs,
    keep_ripe,
    mark_days,
    read_labelled,
)
from treadle.rollout.sequence import Interval, bound_mean
from treadle.serving.log import name_input
from treadle.tasks import TRAITS
from treadle.wording import number_of

Predict = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Hindsight:
    """How much smaller the loss of the champion before would have been."""

    loss: str
    interval: Interval  # of the gain a day
    days: list[Day]

    @property
    def is_better(self) -> bool:
        """Beyond doubt, at any look."""
        return self.interval.is_above

    @property
    def sentence(self) -> str:
        """The gain in words."""
        found = self.interval
        days = number_of(found.count, "day")
        return f"gain in {self.loss} {found.describe()}, in pairs, over {days} of answers whose labels came"

    def to_plain(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "loss": self.loss,
            "gain": self.interval.mean,
            "days": [day.to_plain() for day in self.days],
        }


def look_back(
    log: Path,
    *,
    champion: str,
    card: Card,
    since: datetime,
    now: datetime,
    alpha: float,
    min_share: float,
    before: Predict,
    columns: Collection[str],
) -> Hindsight | None:
    """Compare; None where no day of the champion's answers has its labels, or their columns are not recorded.

    Args:
        log: folder of `serving.log`, or of several, with labels that `treadle feedback` has added.
        champion: digest of its bundle.
        card: of its bundle.
        since: when it became champion; in UTC, without a zone.
        now: what was answered later, and labels that became known later, are not looked at.
        alpha: chance of a false verdict, over all looks.
        min_share: of the labels of a day that must be there for it to count.
        before: predicts rows by the champion before.
        columns: that it needs.

    Raises:
        TreadleError: the log or a label cannot be read, or `before` refuses the rows.
    """
    try:
        labelled, outputs = read_labelled(log, card=card, now=now)
    except UnreadableError:
        raise
    except TreadleError:  # no server has answered, or no label has come
        return None
    own = labelled.filter(pl.col("bundle") == champion, pl.col("time") >= since).collect()
    answered = own.drop_nulls(outputs).unique("id").sort("time", "id")
    ripe, _ = keep_ripe(mark_days(answered), min_share=min_share)
    names = {name: name_input(name, outputs=outputs) for name in columns}
    if ripe.is_empty() or not _are_recorded(ripe, names.values()):
        return None
    predicted = before(ripe.select(pl.col(shown).alias(name) for name, shown in names.items()))
    pairs = ripe.with_columns(predicted[name].alias(f"{THEIRS}{name}") for name in outputs)
    days, _ = compare_pairs(pairs, outputs, card=card, min_share=min_share)
    return Hindsight(TRAITS[card.task].loss, bound_mean([day.gain for day in days], alpha=alpha), days)


def _are_recorded(rows: pl.DataFrame, columns: Iterable[str]) -> bool:
    """Whether rows have these columns.

    One without any value is not recorded: of a log that several bundles share, each row has the columns of all of them.
    """
    return all(name in rows.columns and rows[name].null_count() < len(rows) for name in columns)
