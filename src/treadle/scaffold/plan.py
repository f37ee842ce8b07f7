"""The plan of a project: split, features and schedule, each with the reason for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from treadle.experiment.problems import nearest
from treadle.scaffold.profile import Profile, Profiles
from treadle.scaffold.roles import Choice, choose_roles
from treadle.scaffold.target import Target, choose_target, quote
from treadle.scaffold.trial import is_sound, try_split
from treadle.schema import Task, TreadleError

MAX_BINNED = 64  # columns of numbers up to which each gets bins of its own
MIN_EPOCHS, MAX_EPOCHS = 2, 60
_SPLIT_NAME = re.compile(r"(^|[\W_])(split|fold|partition|subset)$", re.IGNORECASE)
_SPLIT_WORDS = {
    "train": {"train", "training"},
    "valid": {"valid", "val", "validation", "dev"},
    "test": {"test", "testing"},
}
_SEEN = 600_000  # examples that training sees in all, about


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    target: str
    time: str | None = None
    group: str | None = None
    task: Task | None = None
    positive: str | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Derived:
    """A feature computed from a column."""

    name: str
    sql: str
    comment: str
    period: int | None = None  # after which it repeats


@dataclass(frozen=True)
class Plan:
    """All that the files of a project say."""

    target: Target
    target_profile: Profile
    choices: tuple[Choice, ...]
    predict_at: str | None  # a column
    split: dict[str, Any]
    split_reason: str
    derived: tuple[Derived, ...]
    num_rows: int
    batch_size: int
    max_epochs: int
    min_count: int  # rows from which a category gets a vector of its own

    def list_columns(self, *roles: str) -> list[str]:
        """The columns of some roles."""
        return [choice.profile.name for choice in self.choices if choice.role in roles]

    @property
    def epochs_reason(self) -> str:
        """Why so many epochs."""
        if self.max_epochs in {MIN_EPOCHS, MAX_EPOCHS}:
            return "the most for few rows" if self.max_epochs == MAX_EPOCHS else "the least for many rows"
        return f"so that training sees about {_SEEN:,} examples"

    @property
    def left_out(self) -> list[Choice]:
        """The columns that are no features."""
        return [choice for choice in self.choices if choice.role == "out"]

    @property
    def suspects(self) -> list[Choice]:
        """Those that tell the target."""
        return [choice for choice in self.choices if choice.is_suspect]

    @property
    def is_binned(self) -> bool:
        """Whether each number gets bins of its own."""
        return len(self.list_columns("number", "moment")) <= MAX_BINNED


def make_plan(table: Profiles, request: Request) -> Plan:
    """Decide everything from what the table holds and what the user asks for.

    Raises:
        TreadleError: a column does not exist, or cannot be what it is to be.
    """
    find = _Finder(table.columns)
    _require_uses(find, request)
    profile = find("--target", request.target)
    target = choose_target(profile, task=request.task, positive=request.positive)
    moment = find("--time", request.time) if request.time is not None else None
    group = find("--group", request.group) if request.group is not None else None
    keep = [find("--keep", name).name for name in request.keep]
    aside = {find("--drop", name).name: "left out as asked" for name in request.drop}
    split, split_reason, used = _choose_split(table, target, moment, group)
    split = try_split(split, table, target, at=moment.name if moment is not None else None)
    aside |= used
    choices = choose_roles(table.columns, table.sample, target, keep=keep, aside=aside)
    _require_features(choices, target)
    num_train = int(table.num_rows * 0.64)
    batch_size = next(size for limit, size in _BATCHES if num_train < limit)
    return Plan(
        target=target,
        target_profile=profile,
        choices=tuple(choices.values()),
        predict_at=moment.name if moment is not None else None,
        split=split,
        split_reason=split_reason,
        derived=tuple(_derive(choices, moment, taken=set(table.columns))),
        num_rows=table.num_rows,
        batch_size=batch_size,
        max_epochs=min(MAX_EPOCHS, max(MIN_EPOCHS, round(_SEEN / max(1, num_train)))),
        min_count=2 if num_train < 1_000 else 5 if num_train < 100_000 else 20,  # noqa: PLR2004 - rows
    )


_BATCHES = ((3_000, 64), (10_000, 128), (30_000, 256), (100_000, 512), (1_000_000, 1024), (float("inf"), 4096))


class _Finder:
    """Columns by the name in the file or in the project."""

    def __init__(self, columns: Mapping[str, Profile]) -> None:
        self.columns = columns
        self.by_source = {profile.column.source: profile for profile in columns.values() if profile.column.source}

    def __call__(self, option: str, name: str) -> Profile:
        found = self.columns.get(name) or self.by_source.get(name)
        if found is None:
            alone = "; fields are separated by a comma, a semicolon, | or a tab" if len(self.columns) == 1 else ""
            raise TreadleError(f"{option}: the table has no column {name!r}. {nearest(name, self.columns)}{alone}")
        return found


def _require_uses(find: _Finder, request: Request) -> None:
    """No column is asked to be two things that exclude each other."""
    target = find("--target", request.target).name
    kept = {find("--keep", name).name for name in request.keep}
    for option, names in (("--drop", request.drop), ("--keep", request.keep), ("--group", [request.group])):
        for name in filter(None, names):
            if find(option, name).name == target:
                raise TreadleError(f"{option}: {name!r} is the target, and so nothing else")
    for name in request.drop:
        if find("--drop", name).name in kept:
            raise TreadleError(f"--drop: {name!r} is given to --keep, too; name it once")


def _require_features(choices: Mapping[str, Choice], target: Target) -> None:
    if any(choice.role != "out" for choice in choices.values()):
        return
    reasons = "; ".join(f"{name}: {choice.reason}" for name, choice in list(choices.items())[:5])
    reasons = reasons or "the table has no other"
    raise TreadleError(f"no column is left to predict {target.name!r} from ({reasons}); --keep takes one in")


# --- split --------------------------------------------------------------------------------------------


def _choose_split(
    table: Profiles, target: Target, moment: Profile | None, group: Profile | None
) -> tuple[dict[str, Any], str, dict[str, str]]:
    """The rule, its reason, and the columns that are no features because of it."""
    shares = {"valid": 0.16, "test": 0.2, "seed": 0}
    if moment is not None:
        _require_moment(moment, table.sample[moment.name])
    if group is not None:
        if group.num_missing:
            raise TreadleError(f"--group: {group.name!r} is missing in {group.num_missing:,} rows")
        if group.num_distinct < 3:  # noqa: PLR2004 - one for each split
            raise TreadleError(
                f"--group: {group.name!r} has {group.num_distinct} values; three splits need three at least"
            )
        reason = "no group stands in two splits: what is learned must hold for new ones"
        rule = {"by": "group", "column": group.name, **shares}
        return rule, reason, {group.name: "it names the groups of the split: those of the test are new"}
    if moment is not None:
        valid_from, test_from = _cut(table.sample[moment.name].drop_nulls())
        rule = {"by": "time", "valid_from": valid_from, "test_from": test_from, "gap": "0d"}
        return (
            rule,
            "train on the first 70 % of the rows, test on the last 15 %: as in use, the future is predicted",
            {},
        )
    official = _find_official({name: profile for name, profile in table.columns.items() if name != target.name})
    if official is not None and is_sound(official[0], table, target):
        return official
    unasked = _explain_unasked(table.columns.values())
    if target.task == "regression":
        return {"by": "random", **shares}, f"drawn from all rows; {unasked}", {}
    rule = {"by": "stratified", "column": "label", **shares}
    return rule, f"each split has the same mix of classes; {unasked}", {}


def _explain_unasked(columns: Iterable[Profile]) -> str:
    """What the user may know better: whether rows are to be predicted that come later."""
    moments = [column.name for column in columns if column.column.dtype in {"date", "datetime"}]
    if not moments:
        return "neither --time nor --group was given"
    return f"if the future is to be predicted, begin anew with --time {' or '.join(moments[:3])}"


def _require_moment(moment: Profile, sample: pl.Series) -> None:
    if moment.column.dtype not in {"date", "datetime"}:
        held = sample.drop_nulls()
        example = held[0] if len(held) else None
        shown = f", such as {example!r}" if example is not None else ""
        raise TreadleError(
            f"--time: {moment.name!r} is of type {moment.column.dtype}{shown}; "
            "a date or a moment is needed, such as 2024-05-31 or 2024-05-31 14:00"
        )
    if moment.num_missing:
        raise TreadleError(f"--time: {moment.name!r} is missing in {moment.num_missing:,} rows")


def _cut(moments: pl.Series) -> tuple[str, str]:
    """Where validation and test begin: whole days where the table spans a month, else to the second."""
    ordered = moments.cast(pl.Datetime("us")).sort()
    first, last = ordered[0], ordered[-1]
    cuts: list[datetime] = [ordered[int(len(ordered) * share)] for share in (0.70, 0.85)]
    if last - first > timedelta(days=30):
        cuts = [cut.replace(hour=0, minute=0, second=0, microsecond=0) for cut in cuts]
    valid_from, test_from = cuts
    if not first < valid_from < test_from <= last:
        raise TreadleError(f"--time: the rows lie at too few different moments, {first} to {last}, to be split by them")
    return tuple(_write_moment(cut) for cut in cuts)  # type: ignore[return-value]


def _write_moment(moment: datetime) -> str:
    return str(moment.date()) if moment.time() == datetime.min.time() else moment.isoformat(sep=" ")


def _find_official(columns: Mapping[str, Profile]) -> tuple[dict[str, Any], str, dict[str, str]] | None:
    """A column that says of each row to which split it belongs."""
    for name, profile in columns.items():
        if not _SPLIT_NAME.search(name) or profile.column.dtype != "str" or profile.num_missing:
            continue
        found = {
            split: [value for value, _ in profile.values if str(value).lower() in words]
            for split, words in _SPLIT_WORDS.items()
        }
        if sum(map(len, found.values())) == len(profile.values) and found["train"] and found["test"]:
            share = {} if found["valid"] else {"valid_share": 0.2}
            valid = {"valid": found["valid"]} if found["valid"] else {}
            rule = {"by": "column", "column": name, "train": found["train"], **valid, "test": found["test"], **share}
            return {**rule, "seed": 0}, f"{name!r} says it of each row", {name: "it says to which split a row belongs"}
    return None


# --- moments as numbers -------------------------------------------------------------------------------


def _derive(choices: Mapping[str, Choice], at: Profile | None, *, taken: set[str]) -> list[Derived]:
    derived: list[Derived] = []
    for choice in choices.values():
        if choice.role == "moment":
            derived += _derive_moment(choice.profile, at, taken)
    return derived


def _derive_moment(profile: Profile, at: Profile | None, taken: set[str]) -> list[Derived]:
    name, column = profile.name, quote(profile.name)
    is_at = at is not None and at.name == name
    parts: list[Derived] = []
    if profile.column.dtype == "datetime":
        minute = f"EXTRACT(HOUR FROM {column}) * 60 + EXTRACT(MINUTE FROM {column})"
        parts.append(Derived(_free(f"{name}_minute", taken), minute, "of the day", 1440))
    weekday = f"EXTRACT(DOW FROM {column})"
    parts.append(Derived(_free(f"{name}_weekday", taken), weekday, "0 is Sunday", 7))
    if is_at and profile.high - profile.low > timedelta(days=730):
        month = f"EXTRACT(MONTH FROM {column})"
        parts.append(Derived(_free(f"{name}_month", taken), month, "the table spans more than two years", 12))
    if is_at:
        return parts
    days = f"EXTRACT(EPOCH FROM {_as_moment(profile)}) / 86400"
    comment = "days since 1970"
    if at is not None:
        days, comment = f"EXTRACT(EPOCH FROM {_as_moment(at)}) / 86400 - {days}", f"days before {at.name}"
    return [*parts, Derived(_free(f"{name}_days", taken), days, comment)]


def _as_moment(profile: Profile) -> str:
    column = quote(profile.name)
    return f"CAST({column} AS TIMESTAMP)" if profile.column.dtype == "date" else column


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{name}_"
    taken.add(name)
    return name


def describe_span(profile: Profile) -> str:
    """The values of a column in a few words: the range of a number, the most frequent texts."""
    if profile.low is not None:
        return f"{_show(profile.low)} to {_show(profile.high)}"
    return _list_some([value for value, _ in profile.values])


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value.date()) if isinstance(value, datetime) and value.time() == datetime.min.time() else str(value)


def _list_some(values: Sequence[Any], *, most: int = 4) -> str:
    shown = ", ".join(repr(value) if not isinstance(value, date) else str(value) for value in values[:most])
    return f"{shown}, …" if len(values) > most else shown
