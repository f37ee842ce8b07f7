"""The target: its task, its positive class, and the rows that cannot be examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from treadle.data.roles import LARGEST
from treadle.errors import TreadleError
from treadle.scaffold.reading.counts import RARE, explain_count
from treadle.scaffold.reading.profile import Profile
from treadle.schema import Task
from treadle.sql.translate import to_expr
from treadle.tasks import TRAITS
from treadle.wording import number_of

MAX_CLASSES = 100
MAX_INT_CLASSES = 20  # an integer of more values is a quantity
MIN_CLASS_ROWS = RARE
MIN_BINARY_ROWS = 4  # of each of two classes, so that no split is without
MIN_ROWS = 30
_POSITIVE = {"yes", "y", "true", "t", "1", "positive", "pos"}
Exclusion = tuple[str, str, str]  # reason in one word, SQL, comment


@dataclass(frozen=True)
class Target:
    """What is to be predicted."""

    name: str  # of its column; of several labels their names
    task: Task
    label: str | dict[str, str]  # SQL; of several labels by name
    reason: str  # why this task, and this positive class
    balance: str  # of the classes, or the range
    exclude: tuple[Exclusion, ...]
    parts: tuple[Target, ...] = ()  # of several labels each, which is binary

    @property
    def columns(self) -> list[str]:
        """The columns that it is made of."""
        return [part.name for part in self.parts] or [self.name]

    def take(self, sample: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """The examples of a sample, and their answer: the label, or the names of those labels that a row has."""
        for _, condition, _ in self.exclude:
            sample = sample.filter(~to_expr(condition, sample.collect_schema).fill_null(value=False))
        if not isinstance(self.label, dict):
            return sample, _compute(self.label, sample)
        answers = self.list_answers(sample)
        named = [pl.when(answer).then(pl.lit(name)) for name, answer in zip(self.label, answers, strict=True)]
        joined = sample.select(pl.concat_str(named, separator=", ", ignore_nulls=True).alias("label")).to_series()
        return sample, joined.replace("", "none")

    def list_answers(self, rows: pl.DataFrame) -> list[pl.Series]:
        """Of examples each label by itself."""
        texts = self.label.values() if isinstance(self.label, dict) else [self.label]
        return [_compute(text, rows) for text in texts]


def _compute(text: str, rows: pl.DataFrame) -> pl.Series:
    return rows.select(to_expr(text, rows.collect_schema).alias("label")).to_series()


def quote(name: str) -> str:
    """A column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A value in SQL."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def choose_targets(profiles: Sequence[Profile], *, task: Task | None, positive: str | None) -> Target:
    """Decide the task of the target's column; of several columns each is a label of two values.

    Args:
        profiles: of the columns.
        task: where the user gives it.
        positive: the value of the positive class, where the user gives it.

    Raises:
        TreadleError: as `choose_target`; or several columns are given with what is of one.
    """
    if len(profiles) == 1:
        return choose_target(profiles[0], task=task, positive=positive)
    for option, given in (("--task", task), ("--positive", positive)):
        if given is not None:
            raise TreadleError(f"{option}: is for one target; {len(profiles)} columns are labels, each true or false")
    names = [profile.name for profile in profiles]
    if len({*map(_name_label, names)}) < len(names):  # which are the names of the outputs
        raise TreadleError(f"--target: a column is named twice, or two differ in dots alone: {', '.join(names)}")
    for profile in profiles:
        if profile.num_distinct > 2:  # noqa: PLR2004 - two
            raise TreadleError(
                f"--target: {profile.name!r} has {profile.num_distinct:,} different values; of several targets each is "
                "a label of two values"
            )
    parts = tuple(choose_target(profile, task="binary", positive=None) for profile in profiles)
    return Target(
        ", ".join(names),
        "multilabel",
        {_name_label(part.name): str(part.label) for part in parts},
        f"{len(parts)} labels of two values each",
        "; ".join(f"{part.name}: {part.balance}" for part in parts),
        tuple(
            (f"{reason}_{place}", condition, told)
            for place, part in enumerate(parts, start=1)
            for reason, condition, told in part.exclude
        ),
        parts,
    )


def _name_label(column: str) -> str:
    """What a label is called that a column holds; a dot would separate the names of a key."""
    return column.replace(".", "_")


def choose_target(profile: Profile, *, task: Task | None, positive: str | None) -> Target:
    """Decide the task of the target column.

    Args:
        profile: of the target's column.
        task: where the user gives it.
        positive: the value of the positive class, where the user gives it.

    Raises:
        TreadleError: the column holds one value only, too many classes, or nothing that can be predicted.
    """
    name = profile.name
    if not profile.is_readable:
        raise TreadleError(f"--target: {name!r} is {profile.note}; a target is a number, or one of a few classes")
    if profile.num_present < MIN_ROWS:
        raise TreadleError(
            f"--target: {name!r} has a value in {profile.num_present} rows; {MIN_ROWS} are needed at least"
        )
    if profile.num_distinct == 1:
        raise TreadleError(
            f"--target: {name!r} holds one value only, {profile.values[0][0]!r} in {profile.num_present:,} rows: there "
            "is nothing to predict"
        )
    if profile.column.dtype in {"date", "datetime"}:
        raise TreadleError(
            f"--target: {name!r} is a {profile.column.dtype}; a target is a number, or one of a few classes"
        )
    exclude: list[Exclusion] = []
    if profile.num_missing:
        exclude.append(
            ("unanswered", f"{quote(name)} IS NULL", f"no answer in {number_of(profile.num_missing, 'row')}")
        )
    chosen, why = (task, "by --task") if task is not None else _find_task(profile)
    if TRAITS[chosen].is_value:
        return _measure(profile, chosen, why, exclude)
    if profile.num_distinct > MAX_CLASSES:
        raise TreadleError(
            f"--target: {name!r} has {profile.num_distinct:,} different values, more than the {MAX_CLASSES} classes "
            "that are allowed" + ("; for a quantity give --task regression" if _is_number(profile) else "")
        )
    if chosen == "binary":
        return _make_binary(profile, positive, why, exclude)
    if positive is not None:
        raise TreadleError(
            f"--positive: {name!r} has {profile.num_distinct} classes; only one of two can be the positive one"
        )
    return _make_multiclass(profile, why, exclude)


def _is_number(profile: Profile) -> bool:
    return profile.column.dtype in {"int", "float"}


def _find_task(profile: Profile) -> tuple[Task, str]:
    count = profile.num_distinct
    if count == 2:  # noqa: PLR2004 - two
        return "binary", "two different values"
    if not _is_number(profile):
        return "multiclass", f"{count} different values"
    if reason := _explain_amount(profile):
        return "regression", reason
    return "multiclass", f"a whole number with {count} different values; for a quantity give --task regression"


def _explain_amount(profile: Profile) -> str:
    """Why numbers are amounts; empty where they are names of classes."""
    kind = "a whole number" if profile.column.dtype == "int" else "a number"
    if not all(float(value).is_integer() for value, _ in profile.values):
        return "a number with fractions"
    if profile.num_distinct > MAX_INT_CLASSES:
        return f"{kind} with {profile.num_distinct:,} different values"
    if profile.column.thousands is not None:
        return "amounts, by the way they are written; for classes give --task multiclass"
    count = explain_count(profile)
    return f"{count}; for classes give --task multiclass" if count else ""


# --- the kinds of task ----------------------------------------------------------------------------------


def _measure(profile: Profile, task: Task, why: str, exclude: list[Exclusion]) -> Target:
    if not _is_number(profile):
        example = profile.values[0][0] if profile.values else profile.note
        raise TreadleError(
            f"--target: a {task} predicts a number, and {profile.name!r} is of type {profile.column.dtype}, "
            f"such as {example!r}"
        )
    if task == "count" and (profile.low < 0 or not profile.is_whole):
        found = f"begins at {profile.low:,}" if profile.is_whole else "is written with fractions"
        raise TreadleError(
            f"--task: a count is a whole number from 0 on; {profile.name!r} {found}, which takes --task regression"
        )
    largest = max(abs(profile.low), abs(profile.high))
    if largest > LARGEST:
        fix = "if it means no value, give --missing inf" if math.isinf(largest) else "take another unit"
        raise TreadleError(
            f"--target: {profile.name!r} reaches {largest:g}; a number that is predicted is at most {LARGEST:g} in "
            f"size; {fix}"
        )
    balance = f"{profile.low:,} to {profile.high:,}"
    return Target(profile.name, task, quote(profile.name), why, balance, tuple(exclude))


def _make_binary(profile: Profile, positive: str | None, why: str, exclude: list[Exclusion]) -> Target:
    if len(profile.values) != 2:  # noqa: PLR2004 - two
        raise TreadleError(f"--task: {profile.name!r} has {profile.num_distinct:,} different values; binary takes two")
    value, reason = _find_positive(profile.values, positive, profile.name)
    counts = dict(profile.values)
    rarest, rows = profile.values[-1]
    if rows < MIN_BINARY_ROWS:
        raise TreadleError(
            f"--target: {profile.name!r} is {rarest!r} in {rows} rows; training, validation and test need one each, "
            f"which takes {MIN_BINARY_ROWS} rows"
        )
    share = counts[value] / profile.num_present
    label = quote(profile.name) if value is True else f"{quote(profile.name)} = {literal(value)}"
    balance = f"{share:.1%} positive ({counts[value]:,} of {profile.num_present:,})"
    return Target(profile.name, "binary", label, f"{why}; positive class {value!r}, {reason}", balance, tuple(exclude))


def _find_positive(values: Sequence[tuple[Any, int]], positive: str | None, name: str) -> tuple[Any, str]:
    known = {str(value): value for value, _ in values}
    if positive is not None:
        positive = positive.capitalize() if isinstance(values[0][0], bool) else positive
        if positive not in known:
            raise TreadleError(f"--positive: {name!r} holds {' and '.join(map(repr, known))}, not {positive!r}")
        return known[positive], "by --positive"
    if all(isinstance(value, bool | int | float) for value, _ in values):
        return max(value for value, _ in values), "the larger"
    for text, value in known.items():
        if text.lower() in _POSITIVE:
            return value, "by its name"
    return values[-1][0], "the rarer"


def _make_multiclass(profile: Profile, why: str, exclude: list[Exclusion]) -> Target:
    values = [(value, count) for value, count in profile.values if count >= MIN_CLASS_ROWS]
    rare = [(value, count) for value, count in profile.values if count < MIN_CLASS_ROWS]
    if len(values) < 2:  # noqa: PLR2004 - two
        raise TreadleError(
            f"--target: {profile.name!r} has {profile.num_distinct} classes, of which {len(values)} have the "
            f"{MIN_CLASS_ROWS} rows that a class needs, so that each split holds some; two classes are needed at least"
        )
    if rare:
        names = ", ".join(literal(value) for value, _ in rare)
        comment = f"fewer than {MIN_CLASS_ROWS} rows each: too few for three splits"
        exclude = [*exclude, ("rare", f"{quote(profile.name)} IN ({names})", comment)]
    largest, smallest = values[0], values[-1]
    balance = (
        f"{len(values)} classes, from {smallest[0]!r} with {smallest[1]:,} rows to {largest[0]!r} with {largest[1]:,}"
    )
    return Target(profile.name, "multiclass", quote(profile.name), why, balance, tuple(exclude))
