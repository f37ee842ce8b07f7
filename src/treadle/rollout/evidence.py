"""What a log and its labels say about a challenger: the difference of the losses, by day.

In pairs where the challenger answered in the shadow what the champion answered; between two groups of keys where it
answered as a canary. A day counts once nearly all of its labels are there: those that come first are a biased sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from treadle.bundle.card import Card
from treadle.errors import TreadleError
from treadle.evaluation.scores import compute_losses
from treadle.monitoring.labels import NO_OUTCOME, join_labels, read_target, take_outputs
from treadle.monitoring.log import Log, Reading, list_files
from treadle.rollout.sequence import Interval, bound_mean
from treadle.schema import LABEL
from treadle.serving.log import KEY, RECENT, SHADOW, scan_log
from treadle.tasks import TRAITS
from treadle.wording import number_of

Kind = Literal["shadow", "canary"]
THEIRS = "__theirs__"  # before the names of the outputs of the other one of a pair
_DAY, _LOSS, _SHARE = "__day__", "__loss__", "__share__"
_NEEDED = ("id", "time", "bundle")  # columns of a log


class UnreadableError(TreadleError):
    """The files of a log are damaged, or none of a log."""


@dataclass(frozen=True)
class Day:
    """One block."""

    day: str
    num_rows: int  # pairs, or rows of the challenger
    gain: float  # loss of the champion less that of the challenger

    def to_plain(self) -> dict[str, Any]:
        """For JSON and the ledger."""
        return {"day": self.day, "rows": self.num_rows, "gain": self.gain}


@dataclass(frozen=True)
class Evidence:
    """What is known of a challenger."""

    kind: Kind
    champion: str  # digests
    challenger: str
    loss: str
    interval: Interval  # of the gain a day
    days: list[Day]
    maturing: list[str]  # days with too few labels yet
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Literal["better", "worse", "not yet"]:
        """What may be said of it, at any look."""
        return "better" if self.interval.is_above else "worse" if self.interval.is_below else "not yet"

    @property
    def sentence(self) -> str:
        """The verdict and its reason."""
        found, how = self.interval, "in pairs" if self.kind == "shadow" else "between keys"
        waiting = f"; waiting for labels: {number_of(len(self.maturing), 'day')}" if self.maturing else ""
        if math.isinf(found.low):
            return (
                f"not yet: {number_of(found.count, 'day')} of labels, which say nothing about the {self.loss}{waiting}"
            )
        words = {"better": "the challenger is better", "worse": "the challenger is worse", "not yet": "not yet"}
        gain, days = f"gain in {self.loss} {found.describe()}", number_of(found.count, "day")
        return f"{words[self.verdict]}: {gain}, {how}, over {days}{waiting}"

    def to_plain(self) -> dict[str, Any]:
        """For JSON and the ledger."""
        found = self.interval
        bounds = (None if math.isinf(bound) else bound for bound in (found.low, found.high))
        return {
            "kind": self.kind,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "champion": self.champion,
            "challenger": self.challenger,
            "loss": self.loss,
            "gain": dict(zip(("mean", "low", "high"), (found.mean, *bounds), strict=True)),
            "days": [day.to_plain() for day in self.days],
            "maturing": self.maturing,
            "notes": self.notes,
        }


def find_evidence(
    log: Path,
    *,
    champion: str,
    challenger: str,
    card: Card,
    alpha: float,
    min_share: float,
    kind: Kind | None,
    now: datetime,
) -> Evidence:
    """The evidence of a log: of the shadow, or of the canary.

    Args:
        log: folder of `serving.log`, or of several, with labels that `treadle feedback` has added.
        champion: digest of its bundle.
        challenger: digest of its bundle.
        card: of the champion.
        alpha: chance of a false verdict, over all looks.
        min_share: of the labels of a day that must be there for it to count.
        kind: which is asked for; None: where the challenger answered last, with a note if there is the other too.
        now: what was answered later, and labels that became known later, are not looked at; in UTC, without a zone.

    Raises:
        TreadleError: there are no labels, or no rows of the challenger.
    """
    labelled, outputs = read_labelled(log, card=card, now=now)
    beside = _scan_shadows(log, challenger)
    own = labelled.filter(pl.col("bundle") == champion)
    pairs = None if beside is None else _pair(own, beside, outputs).collect()
    split = labelled.filter(pl.col("bundle").is_in([champion, challenger])).collect()
    newest: dict[Kind, datetime | None] = {
        "shadow": None if pairs is None else _find_newest(pairs),
        "canary": _find_newest(split.filter(pl.col("bundle") == challenger)),
    }
    chosen, notes = _choose(newest, kind, log=log, challenger=challenger)
    if chosen == "canary":
        found = _compare_groups(
            split, outputs, champion=champion, challenger=challenger, card=card, alpha=alpha, min_share=min_share
        )
        return replace(found, notes=[*notes, *found.notes])
    assert pairs is not None, "chosen only where there are some"
    days, maturing = compare_pairs(pairs, outputs, card=card, min_share=min_share)
    interval = bound_mean([day.gain for day in days], alpha=alpha)
    return Evidence("shadow", champion, challenger, TRAITS[card.task].loss, interval, days, maturing, notes)


def _find_newest(rows: pl.DataFrame) -> datetime | None:
    """Time of the last row; None: there is none."""
    newest = rows["time"].max()
    assert newest is None or isinstance(newest, datetime)
    return newest


def _choose(
    newest: Mapping[Kind, datetime | None], kind: Kind | None, *, log: Path, challenger: str
) -> tuple[Kind, list[str]]:
    """Which evidence is looked at, by the challenger's last answer of each kind, and a note if there is another."""
    known: dict[Kind, datetime] = {each: time for each, time in newest.items() if time is not None}
    if not known or (kind is not None and kind not in known):
        where = "" if kind is None else f" as a {kind}" if kind == "canary" else " in the shadow"
        raise TreadleError(
            f"{log} has no row of the challenger {challenger[:12]}{where}: serve with "
            "serving.shadow.bundle=challenger, or serving.canary.bundle=challenger"
        )
    chosen: Kind = max(known, key=lambda each: known[each]) if kind is None else kind
    others = [each for each in known if each != chosen]
    return chosen, [f"there is evidence of the {other}, too: --by {other} shows it" for other in others]


def read_labelled(log: Path, *, card: Card, now: datetime) -> tuple[pl.LazyFrame, list[str]]:
    """The rows of a log as of a moment, with `label`, null where there is none by then; and names of the outputs.

    Rows that will never have a label are left out.

    Args:
        log: as `find_evidence`.
        card: of the model.
        now: as `find_evidence`.

    Raises:
        UnreadableError: the files cannot be read, or are none of a log.
        TreadleError: there are no rows, or no labels, or the rows are of another model.
    """
    rows = _scan(log).filter(pl.col("time") < now)
    outputs = _name_outputs(card, rows)
    labelled = join_labels(Log(log, rows, rows, Reading([], "time", None, None, [], outputs)), now=now)
    if labelled is None:
        raise TreadleError(f"{log} has no labels yet: `treadle feedback FILE --log {log}` adds them")
    return labelled.filter(~pl.col(NO_OUTCOME)).drop(NO_OUTCOME), outputs


def _scan(log: Path) -> pl.LazyFrame:
    try:
        rows = pl.concat(map(pl.scan_parquet, list_files(log)), how="diagonal_relaxed")
        names = rows.collect_schema()
    except PolarsError as error:
        raise UnreadableError(f"cannot read {log}: {str(error).splitlines()[0]}") from error
    absent = [name for name in _NEEDED if name not in names]
    if absent:
        raise UnreadableError(
            f"{log} has no column {absent[0]!r}: its files are none that `treadle serve` has recorded"
        )
    return rows


def _scan_shadows(log: Path, challenger: str) -> pl.LazyFrame | None:
    """What a challenger has answered beside the rows of a log; None: nothing is there of any."""
    folders = [folder for folder in sorted(log.rglob(SHADOW)) if _has_files(folder)]
    if not folders:
        return None
    return pl.concat(map(scan_log, folders), how="diagonal_relaxed").filter(pl.col("bundle") == challenger)


def _has_files(folder: Path) -> bool:
    return any(folder.glob("*.parquet")) or any((folder / RECENT).glob("*/*.parquet"))


def _name_outputs(card: Card, rows: pl.LazyFrame) -> list[str]:
    outputs = TRAITS[card.task].name_outputs(card.classes)
    absent = [name for name in outputs if name not in rows.collect_schema()]
    if absent:
        raise TreadleError(f"the log has no column {absent[0]!r}: it is of another model")
    return outputs


def _pair(own: pl.LazyFrame, beside: pl.LazyFrame, outputs: Sequence[str]) -> pl.LazyFrame:
    """Rows that both have answered."""
    theirs = beside.select("id", *(pl.col(name).alias(f"{THEIRS}{name}") for name in outputs)).unique("id")
    return own.select("id", "time", LABEL, *outputs).unique("id").join(theirs, on="id").sort("time", "id")


def compare_pairs(
    pairs: pl.DataFrame, outputs: Sequence[str], *, card: Card, min_share: float
) -> tuple[list[Day], list[str]]:
    """The gain of each day whose labels are there, and the other days.

    Args:
        pairs: rows with `time`, `label`, the outputs of the one, and under `THEIRS` those of the other.
        outputs: their names.
        card: of the one.
        min_share: of the labels of a day that must be there for it to count.
    """
    kept, maturing = keep_ripe(mark_days(pairs), min_share=min_share)
    ours = _measure(kept, outputs, card, outputs)
    theirs = _measure(kept, [f"{THEIRS}{name}" for name in outputs], card, outputs)
    gains = kept.select(_DAY, pl.Series("gain", ours - theirs))
    days = gains.group_by(_DAY).agg(pl.len().alias("rows"), pl.col("gain").mean()).sort(_DAY)
    return [Day(*row) for row in days.iter_rows()], maturing


def mark_days(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their day."""
    return rows.with_columns(pl.col("time").dt.strftime("%Y-%m-%d").alias(_DAY))


def keep_ripe(rows: pl.DataFrame, *, min_share: float, groups: Sequence[str] = ()) -> tuple[pl.DataFrame, list[str]]:
    """The labelled rows of days with enough labels in each group, and the other days."""
    share = pl.col(LABEL).is_not_null().mean().over([_DAY, *groups]).alias(_SHARE)
    least = rows.with_columns(share).with_columns(pl.col(_SHARE).min().over(_DAY))
    maturing = least.filter(pl.col(_SHARE) < min_share)[_DAY].unique().sort().to_list()
    return least.filter(pl.col(_SHARE) >= min_share, pl.col(LABEL).is_not_null()), maturing


def _measure(rows: pl.DataFrame, columns: Sequence[str], card: Card, outputs: Sequence[str]) -> Any:
    """The loss of each row."""
    prediction = take_outputs(rows, columns, task=card.task)
    target = read_target(rows[LABEL], task=card.task, outputs=outputs)
    return compute_losses(prediction, target=target, task=card.task)


# --- two groups of keys


def _compare_groups(
    rows: pl.DataFrame,
    outputs: Sequence[str],
    *,
    champion: str,
    challenger: str,
    card: Card,
    alpha: float,
    min_share: float,
) -> Evidence:
    """The difference between the groups, with what days and keys leave open.

    A key stays with its bundle, so that a group of hard keys looks worse on each day: days alone cannot tell that from
    a worse bundle. So half of alpha goes to the days, and a quarter to the keys of each group.
    """
    kept, maturing = keep_ripe(mark_days(rows), groups=["bundle"], min_share=min_share)
    measured = kept.with_columns(pl.Series(_LOSS, _measure(kept, outputs, card, outputs)))
    days = list(_difference_days(measured, champion, challenger))
    found = bound_mean([day.gain for day in days], alpha=alpha / 2)
    notes = []
    widths = [
        _measure_keys(measured.filter(pl.col("bundle") == digest), alpha / 4) for digest in (champion, challenger)
    ]
    width = sum(widths)
    if math.isinf(width):
        notes.append("there are too few keys in a group to tell its keys from its bundle")
    interval = Interval(found.mean, found.low - width, found.high + width, found.count)
    return Evidence("canary", champion, challenger, TRAITS[card.task].loss, interval, days, maturing, notes)


def _difference_days(rows: pl.DataFrame, champion: str, challenger: str) -> Iterator[Day]:
    """Days on which both have labels."""
    means = rows.group_by(_DAY, "bundle").agg(pl.len().alias("rows"), pl.col(_LOSS).mean())
    ours, theirs = (means.filter(pl.col("bundle") == digest).drop("bundle") for digest in (champion, challenger))
    both = ours.join(theirs, on=_DAY, suffix="_theirs").sort(_DAY)
    for day, _, own, num_rows, other in both.iter_rows():
        yield Day(day, num_rows, own - other)


def _measure_keys(rows: pl.DataFrame, alpha: float) -> float:
    """Half the width of the interval of a group's mean over its keys, each of which counts once."""
    if KEY not in rows.columns:
        return math.inf
    means = rows.drop_nulls(KEY).group_by(KEY, maintain_order=True).agg(pl.col(_LOSS).mean())[_LOSS]
    interval = bound_mean(means.to_list(), alpha=alpha)
    return interval.high - interval.mean if np.isfinite(interval.high) else math.inf
