"""Which rows train, validate and test: as asked, as the data already says, as its groups want it; else drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from treadle.errors import TreadleError
from treadle.scaffold.planning.groups import Entity, find_entities
from treadle.scaffold.planning.official import find_official
from treadle.scaffold.planning.target import Exclusion, Target, quote
from treadle.scaffold.planning.trial import find_rule, to_folds, try_split
from treadle.scaffold.reading.profile import Profile, Profiles
from treadle.tasks import TRAITS
from treadle.wording import number_of

MAX_LEFT_OUT = 0.05  # share of rows without a moment, or without a split, that may be left out
FEW_ROWS = 5_000  # below it the split is in folds
_FOLDS = 5  # of which one validates 16 % of the rows, as other splits do
_SHARES = {"valid": 0.16, "test": 0.2, "seed": 0}
_MAX_NAMED = 3  # columns in a sentence


@dataclass(frozen=True)
class Division:
    """A split, and what follows from it."""

    rule: dict[str, Any]
    reason: str
    target: Target  # without the rows that belong to no split
    aside: Mapping[str, str] = field(default_factory=dict)  # columns that are no features because of it, and why
    notes: tuple[str, ...] = ()


def divide(
    table: Profiles, target: Target, *, moment: Profile | None, group: Profile | None, taken: Iterable[str]
) -> Division:
    """Choose the split, in folds where rows are few, and try it on the rows.

    Args:
        table: what the rows hold.
        target: what is to be predicted.
        moment: the column of `--time`.
        group: the column of `--group`.
        taken: columns whose role the user has set.

    Raises:
        TreadleError: what was asked for cannot be done.
    """
    if moment is not None:
        _require_moment(moment, table.sample[moment.name])
        target = leave_out(target, moment, "undated", "have no time")
    at = moment.name if moment is not None else None
    if group is not None:
        found = _by_group(target, group)
    elif moment is not None:
        found = _by_time(target, table.sample[moment.name])
    else:
        found = _divide_unasked(table, target, taken={*taken, *target.columns})
    found = replace(found, rule=try_split(found.rule, table, found.target, at=at))
    return _fold(found, table, at=at) if table.num_rows < FEW_ROWS else found


def _fold(division: Division, table: Profiles, *, at: str | None) -> Division:
    """In folds with the same test set, where each of them can be trained and validated on."""
    rule = to_folds(division.rule, _FOLDS)
    folded = None if rule is None else find_rule(rule, table, division.target, at=at)
    if folded is None:
        return division
    why = (
        f"below {FEW_ROWS:,} rows one validation set tells little, so there are {_FOLDS} folds: a run validates on "
        f"fold {folded['fold']}, a sweep over data.split.fold=range({_FOLDS}) on each in turn"
    )
    return replace(division, rule=folded, reason=f"{division.reason}; {why}")


def _divide_unasked(table: Profiles, target: Target, *, taken: set[str]) -> Division:
    others = {name: profile for name, profile in table.columns.items() if name not in taken}
    unasked = _explain_unasked(table.columns.values())
    official = _by_official(table, target, others)
    if official is not None and official.rule:
        return official
    aside, notes = ({}, ()) if official is None else (official.aside, official.notes)
    entities = find_entities(others, table.sample, target, aside=aside)
    for entity in entities:
        by_group = {"by": "group", "column": entity.profile.name, **_SHARES}
        rule = find_rule(by_group, table, target, at=None) if entity.is_decisive else None
        if rule is not None:
            reason = f"{_explain_group(entity)}; {unasked}"
            return Division(rule, reason, target, {**aside, **_name_group(entity.profile)}, notes)
    notes = (*notes, *map(_suggest_group, entities[:_MAX_NAMED]))
    if TRAITS[target.task].is_value or target.task == "multilabel":
        drawn, reason = {"by": "random", **_SHARES}, f"drawn from all rows; {unasked}"
    else:
        drawn = {"by": "stratified", "column": "label", **_SHARES}
        reason = f"each split has the same mix of classes; {unasked}"
    return Division(drawn, reason, target, aside, notes)


def _explain_unasked(columns: Iterable[Profile]) -> str:
    """How to split where the time or a group matters, which the table cannot show."""
    moments = [column.name for column in columns if column.column.dtype in {"date", "datetime"}]
    if not moments:
        return "neither --time nor --group was given"
    return f"if the future is to be predicted, start over with --time {' or '.join(moments[:_MAX_NAMED])}"


# --- by a column of the data --------------------------------------------------------------------------


def _by_official(table: Profiles, target: Target, others: Mapping[str, Profile]) -> Division | None:
    """By a column that assigns rows to splits; without a rule where it cannot be followed."""
    official = find_official(others.values())
    if official is None:
        return None
    profile, name = official.column, official.column.name
    aside = {name: "it assigns each row to a split"}
    assigned = leave_out(target, profile, "unassigned", "name no split")
    rule = find_rule(official.rule, table, assigned, at=None)
    if rule is not None and profile.num_missing <= MAX_LEFT_OUT * profile.num_rows:
        return Division(rule, official.reason, assigned, aside)
    fault = (
        f"is missing in {number_of(profile.num_missing, 'row')}"
        if rule is not None
        else "leaves one without rows or answers"
    )
    return Division({}, "", target, aside, (f"{name!r} assigns rows to splits, but {fault}",))


def leave_out(target: Target, profile: Profile, reason: str, words: str) -> Target:
    """Without the rows in which a column is missing."""
    if not profile.num_missing:
        return target
    exclusion: Exclusion = (reason, f"{quote(profile.name)} IS NULL", f"{profile.num_missing:,} rows {words}")
    return replace(target, exclude=(*target.exclude, exclusion))


# --- by groups ----------------------------------------------------------------------------------------


def _by_group(target: Target, group: Profile) -> Division:
    if group.num_missing:
        raise TreadleError(f"--group: {group.name!r} is missing in {number_of(group.num_missing, 'row')}")
    if group.num_distinct < 3:  # noqa: PLR2004 - one for each split
        raise TreadleError(f"--group: {group.name!r} has {group.num_distinct} values; three splits need three at least")
    reason = "no group is in two splits: the model must generalise to new ones"
    return Division({"by": "group", "column": group.name, **_SHARES}, reason, target, _name_group(group))


def _name_group(group: Profile) -> dict[str, str]:
    return {group.name: "it names the groups of the split: those of the test split are new"}


def _explain_group(entity: Entity) -> str:
    return (
        f"no {entity.profile.name!r} is in two splits, since the rows of each have the same answer "
        f"({entity.describe()})"
    )


def _suggest_group(entity: Entity) -> str:
    return (
        f"rows may belong together: {entity.describe()}; where new ones are to be predicted, start over with "
        f"--group {entity.profile.name!r}"
    )


# --- by time ------------------------------------------------------------------------------------------


def _by_time(target: Target, moments: pl.Series) -> Division:
    valid_from, test_from = _cut(moments.drop_nulls())
    rule = {"by": "time", "valid_from": valid_from, "test_from": test_from, "gap": "0d"}
    reason = "train on the first 70 % of the rows, test on the last 15 %: as in production, the future is predicted"
    return Division(rule, reason, target)


def _require_moment(moment: Profile, sample: pl.Series) -> None:
    if moment.column.dtype not in {"date", "datetime"}:
        held = sample.drop_nulls()
        example = held[0] if len(held) else None
        shown = f", such as {example!r}" if example is not None else ""
        raise TreadleError(
            f"--time: {moment.name!r} is of type {moment.column.dtype}{shown}; "
            "a date or a moment is needed, such as 2024-05-31 or 2024-05-31 14:00"
        )
    if moment.num_missing > MAX_LEFT_OUT * moment.num_rows:
        raise TreadleError(
            f"--time: {moment.name!r} is missing in {moment.num_missing:,} of {moment.num_rows:,} rows, more than the "
            f"{MAX_LEFT_OUT:.0%} that may be left out: give a moment that each row has, or leave out --time"
        )


def _cut(moments: pl.Series) -> tuple[str, str]:
    """Where validation and test begin: whole days where the table spans a month, else to the second."""
    ordered = moments.cast(pl.Datetime("us")).sort()
    first, last = ordered[0], ordered[-1]
    cuts: list[datetime] = [ordered[int(len(ordered) * share)] for share in (0.70, 0.85)]
    if last - first > timedelta(days=30):
        cuts = [cut.replace(hour=0, minute=0, second=0, microsecond=0) for cut in cuts]
    valid_from, test_from = cuts
    if not first < valid_from < test_from <= last:
        raise TreadleError(f"--time: the rows have too few different times, {first} to {last}, to be split by them")
    return _write_moment(valid_from), _write_moment(test_from)


def _write_moment(moment: datetime) -> str:
    return str(moment.date()) if moment.time() == datetime.min.time() else moment.isoformat(sep=" ")
