"""The role of each column: a number, a category, a moment; or left out, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from treadle.errors import TreadleError
from treadle.scaffold.planning.groups import names_entity
from treadle.scaffold.planning.leaks import SPIKE, score
from treadle.scaffold.planning.target import MIN_ROWS, Target
from treadle.scaffold.reading.profile import Profile

Role = Literal["number", "spiky", "category", "hashed", "moment", "out"]

MAX_WORDS = 1_000  # different values up to which each gets a vector of its own
TEXT_LENGTH = 30  # characters on average, from which texts are sentences
MANY_DIFFERENT = 0.5  # share of rows with a value of their own, from which texts are names of the rows
MANY = 100  # different values, up to which only what nearly each row has of its own is an identifier
NEARLY_ALL = 0.9  # share of rows for that
MOSTLY_LATER = 0.5  # share of rows in which a moment lies after the prediction, from which it was hardly known then
_COUNTED = 0.99  # share of rows with a value of their own, from which all have one
_ESTIMATED = 0.85  # the same, where the number of values is an estimate: Polars' is low by up to a tenth
_YEARS = (1000, 2500)
_ID = re.compile(
    r"(?i:(^|[\W_])(id|uid|uuid|guid|code|zip|zipcode|postcode|key|phone|telephone|mobile|ssn|isbn|ean|barcode|serial|imei))$"
    r"|(?<=[a-z])(Id|ID|Uuid|Code|Key)$"
)


@dataclass(frozen=True)
class ColumnUse:
    """The use of one column."""

    profile: Profile
    role: Role
    reason: str
    is_suspect: bool = False  # left out because it predicts the target
    is_copy: bool = False  # and nothing but the target


def choose_roles(
    profiles: Mapping[str, Profile],
    sample: pl.DataFrame,
    target: Target,
    *,
    keep: Collection[str],
    aside: Mapping[str, str],
    predict_at: str | None = None,
) -> dict[str, ColumnUse]:
    """A role for every column but the target's.

    Args:
        profiles: of all columns.
        sample: rows of them.
        target: what is to be predicted.
        keep: columns that are features however well they predict the target.
        aside: columns that are none, each with the reason.
        predict_at: the column of the time of the prediction, if there is one.
    """
    rows, _ = target.take(sample)
    answers = target.list_answers(rows)
    twins = _find_twins(rows)
    choices: dict[str, ColumnUse] = {}
    for name, profile in profiles.items():
        if name in target.columns:
            continue
        twin = next((other for other in twins.get(name, ()) if other in choices and choices[other].role != "out"), None)
        if name in aside:
            choices[name] = ColumnUse(profile, "out", aside[name])
        elif name in keep:
            choices[name] = _keep(profile, rows[name])
        else:
            later = _find_later(rows, name, predict_at)
            choices[name] = _decide(profile, rows[name], answers, target, twin=twin, later=later)
    if all(choice.role == "out" for choice in choices.values()):
        choices |= _take_suspects(choices, rows)
    return choices


def _take_suspects(choices: Mapping[str, ColumnUse], rows: pl.DataFrame) -> dict[str, ColumnUse]:
    """Where no other column is left, use the suspects: the table may be about them."""
    return {
        name: _use(choice.profile, rows[name], f"look: {choice.reason}, and no other column is left")
        for name, choice in choices.items()
        if choice.is_suspect and not choice.is_copy
    }


def _find_twins(sample: pl.DataFrame) -> dict[str, list[str]]:
    """For each column, the others that hold the same values in all rows of the sample."""
    groups: dict[int, list[str]] = {}
    for name in sample.columns:
        fingerprint = hash(tuple(sample[name].cast(pl.String).hash().to_list()))
        groups.setdefault(fingerprint, []).append(name)
    return {name: [other for other in group if other != name] for group in groups.values() for name in group}


def _keep(profile: Profile, values: pl.Series) -> ColumnUse:
    if not profile.num_present:
        why = profile.note if not profile.is_readable else "it holds no value"
        raise TreadleError(f"--keep: {profile.name!r} cannot be a feature: {why}")
    return _use(profile, values, "kept as asked")


def _decide(
    profile: Profile, values: pl.Series, answers: Sequence[pl.Series], target: Target, *, twin: str | None, later: str
) -> ColumnUse:
    useless = _find_use(profile, values)
    if useless is not None:
        return ColumnUse(profile, "out", useless)
    if twin is not None:
        return ColumnUse(profile, "out", f"the same values as {twin!r}")
    looks = [later] if later else []
    for part, answer in zip(target.parts or (target,), answers, strict=True):
        found = score(values, answer, task=part.task)
        named = f" ({part.name})" if target.parts else ""
        if suspicion := found.find_suspicion(part.task):
            return ColumnUse(profile, "out", f"{suspicion}{named}", is_suspect=True, is_copy=found.is_copy)
        if look := found.find_look(part.task):
            looks.append(f"{look}{named}")
    return _use(profile, values, next(iter(looks), ""))


def _find_later(rows: pl.DataFrame, name: str, predict_at: str | None) -> str:
    """Why a moment is worth a look: it mostly lies after the prediction; empty where it does not."""
    if predict_at is None or not isinstance(rows[name].dtype, pl.Date | pl.Datetime):
        return ""
    share = (rows[name].cast(pl.Datetime("us")) > rows[predict_at].cast(pl.Datetime("us"))).mean()
    if not isinstance(share, float) or share < MOSTLY_LATER:
        return ""
    return f"look: it is later than {predict_at!r} in {share:.0%} of the rows; unless it was planned by then, --drop it"


def _find_use(profile: Profile, values: pl.Series) -> str | None:
    """Why a column is no feature; None where it can be one."""
    if not profile.is_readable:
        return f"{profile.note}: neither a number, a text nor a moment"
    if not profile.num_present:
        return "it holds no value"
    if constant := _find_constant(profile):
        return constant
    return _find_name(profile, values)


def _find_name(profile: Profile, values: pl.Series) -> str | None:
    """Why a column only identifies its rows; None where it describes them."""
    if not (_names_rows(profile) or _counts_rows(profile, values)):
        return None
    if profile.column.dtype == "str" and profile.mean_length >= TEXT_LENGTH:
        return f"free text, {profile.mean_length:.0f} characters on average: declared as `text`, it can be read"
    kind = "names or free text" if _has_words(values) else "identifier"
    about = "about " if profile.is_estimated else ""
    return f"{kind}: {about}{profile.num_distinct:,} different values in {profile.num_present:,} rows"


def _has_words(values: pl.Series) -> bool:
    """Most texts are of several words."""
    if values.dtype != pl.String():
        return False
    spaced = values.drop_nulls().str.contains(" ", literal=True)
    return int(spaced.sum()) > len(spaced) / 2


def _find_constant(profile: Profile) -> str:
    if profile.num_distinct == 1 and not profile.num_missing:
        value = profile.values[0][0] if profile.values else ""
        return f"constant: {str(value)[:40]!r} in every row"
    return ""


def _counts_rows(profile: Profile, values: pl.Series) -> bool:
    """A whole number that is another in each row, in their order: from 0 or 1 on, or with many values."""
    if profile.column.dtype not in {"int", "float"} or profile.num_missing or not _is_whole(values):
        return False
    if profile.num_distinct < (_ESTIMATED if profile.is_estimated else _COUNTED) * profile.num_rows:
        return False
    if not (values.is_sorted() or values.is_sorted(descending=True)) or values.n_unique() < _COUNTED * len(values):
        return False
    if profile.low in {0, 1} and profile.high - profile.low == profile.num_rows - 1:
        return profile.num_rows >= MIN_ROWS
    is_year = _YEARS[0] <= profile.low and profile.high <= _YEARS[1]
    return profile.column.dtype == "int" and profile.num_distinct > MANY and not is_year


def _is_whole(values: pl.Series) -> bool:
    return values.dtype.is_integer() or bool((values == values.round()).all())


def _names_rows(profile: Profile) -> bool:
    """Most rows have a text of their own, or a whole number that is called an identifier; of few rows nearly all."""
    is_name = profile.column.dtype == "str" or _is_called_name(profile)
    most = MANY_DIFFERENT if profile.num_distinct > MANY else NEARLY_ALL
    return is_name and profile.num_present >= MIN_ROWS and profile.num_distinct / profile.num_present > most


def _is_called_name(profile: Profile) -> bool:
    """A whole number that names something, for what it is called."""
    return profile.column.dtype == "int" and (bool(_ID.search(profile.name)) or names_entity(profile.name))


def _use(profile: Profile, values: pl.Series, reason: str) -> ColumnUse:
    dtype, different = profile.column.dtype, profile.num_distinct
    if dtype in {"date", "datetime", "time"}:
        return ColumnUse(profile, "moment", reason)
    if dtype == "bool":
        return ColumnUse(profile, "category", reason)
    if dtype == "str" or _is_called_name(profile):
        role: Role = "category" if different <= MAX_WORDS else "hashed"
        called = "a number that names something" if dtype == "int" else ""
        return ColumnUse(profile, role, "; ".join(filter(None, [reason, called])))
    counts = values.drop_nulls().value_counts(sort=True, name="|rows")
    spike = counts.row(0)[1] / max(1, len(values)) if len(counts) else 0.0
    if spike >= SPIKE and different > MANY // 2:
        return ColumnUse(
            profile, "spiky", "; ".join(filter(None, [reason, f"{counts.row(0)[0]} in {spike:.0%} of the rows"]))
        )
    return ColumnUse(profile, "number", reason)
