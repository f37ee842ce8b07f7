"""The plan of a project: split, features and schedule, each with the reason for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from treadle.data.datetime_formats import is_coarse
from treadle.errors import TreadleError
from treadle.hints import nearest
from treadle.scaffold.planning.notes import list_notes, require_weight
from treadle.scaffold.planning.roles import ColumnUse, choose_roles
from treadle.scaffold.planning.split import divide
from treadle.scaffold.planning.target import Target, choose_targets, quote
from treadle.scaffold.reading.profile import Profile, Profiles, Use
from treadle.schema import Task

MAX_BINNED = 64  # columns of numbers up to which each gets bins of its own
MIN_EPOCHS, MAX_EPOCHS = 2, 60
_SEEN = 600_000  # examples that training sees in all, about
_MIN_PATIENCE = 5  # epochs
_PATIENCE = 0.4  # of all epochs


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    target: str
    time: str | None = None
    group: str | None = None
    task: Task | None = None
    positive: str | None = None
    weight: str | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # further targets, each of which is a label, as the first one then is

    @property
    def targets(self) -> tuple[str, ...]:
        """All of them."""
        return (self.target, *self.labels)

    @property
    def uses(self) -> dict[str, Use]:
        """The use of single columns, as far as it decides how they are read."""
        moment: dict[str, Use] = {} if self.time is None else {self.time: "moment"}
        return {**moment, **dict.fromkeys(self.targets, "target")}


@dataclass(frozen=True)
class Derived:
    """A feature computed from a column."""

    name: str
    sql: str
    comment: str
    period: int | None = None  # after which it repeats


@dataclass(frozen=True)
class Plan:
    """All decisions that the files of a project contain."""

    target: Target
    target_profiles: tuple[Profile, ...]  # of its column, or of several labels
    choices: tuple[ColumnUse, ...]
    predict_at: str | None  # a column
    split: dict[str, Any]
    split_reason: str
    derived: tuple[Derived, ...]
    num_rows: int
    batch_size: int
    max_epochs: int
    min_count: int  # rows from which a category gets a vector of its own
    weight: str | None = None  # a column
    notes: tuple[str, ...] = ()  # on what the table leaves open

    def list_columns(self, *roles: str) -> list[str]:
        """The columns of some roles."""
        return [choice.profile.name for choice in self.choices if choice.role in roles]

    @property
    def patience(self) -> int:
        """Epochs without a better validation loss: more than the first 30 %, in which the rate of `one_cycle` rises."""
        return max(_MIN_PATIENCE, round(_PATIENCE * self.max_epochs))

    @property
    def epochs_reason(self) -> str:
        """Why so many epochs."""
        if self.max_epochs in {MIN_EPOCHS, MAX_EPOCHS}:
            return "the most for few rows" if self.max_epochs == MAX_EPOCHS else "the least for many rows"
        return f"so that training sees about {_SEEN:,} examples"

    @property
    def left_out(self) -> list[ColumnUse]:
        """The columns that are no features."""
        return [choice for choice in self.choices if choice.role == "out"]

    @property
    def suspects(self) -> list[ColumnUse]:
        """The columns that are suspected to be leaks."""
        return [choice for choice in self.choices if choice.is_suspect]

    @property
    def is_binned(self) -> bool:
        """Whether each number gets bins of its own."""
        return len(self.list_columns("number", "moment")) <= MAX_BINNED


def make_plan(table: Profiles, request: Request) -> Plan:
    """Decide everything from what the table holds and what the user asks for.

    Raises:
        TreadleError: a column does not exist, or cannot have the role that is asked for.
    """
    find = _Finder(table.columns)
    _require_uses(find, request)
    profiles = tuple(find("--target", name) for name in request.targets)
    target = choose_targets(profiles, task=request.task, positive=request.positive)
    moment = find("--time", request.time) if request.time is not None else None
    group = find("--group", request.group) if request.group is not None else None
    weight = find("--weight", request.weight) if request.weight is not None else None
    keep = [find("--keep", name).name for name in request.keep]
    aside = {find("--drop", name).name: "left out as asked" for name in request.drop}
    if weight is not None:
        require_weight(weight, table.sample[weight.name])
        aside[weight.name] = "the weight of each row"
    division = divide(table, target, moment=moment, group=group, taken=[*keep, *aside])
    target = division.target
    aside |= division.aside
    at = moment.name if moment is not None else None
    choices = choose_roles(table.columns, table.sample, target, keep=keep, aside=aside, predict_at=at)
    _require_features(choices, target)
    num_train = int(table.num_rows * 0.64)
    batch_size = next(size for limit, size in _BATCHES if num_train < limit)
    return Plan(
        target=target,
        target_profiles=profiles,
        choices=tuple(choices.values()),
        predict_at=at,
        split=division.rule,
        split_reason=division.reason,
        derived=tuple(_derive(choices, moment, taken=set(table.columns))),
        num_rows=table.num_rows,
        batch_size=batch_size,
        max_epochs=min(MAX_EPOCHS, max(MIN_EPOCHS, round(_SEEN / max(1, num_train)))),
        min_count=2 if num_train < 1_000 else 5 if num_train < 100_000 else 20,  # noqa: PLR2004 - rows
        weight=weight.name if weight is not None else None,
        notes=(*division.notes, *list_notes(table, target, choices.values())),
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
    targets = {find("--target", name).name for name in request.targets}
    kept = {find("--keep", name).name for name in request.keep}
    uses = {"--drop": request.drop, "--keep": request.keep, "--group": [request.group], "--weight": [request.weight]}
    for option, names in uses.items():
        for name in filter(None, names):
            if find(option, name).name in targets:
                raise TreadleError(f"{option}: {name!r} is the target, and cannot have another role")
    for name in request.drop:
        if find("--drop", name).name in kept:
            raise TreadleError(f"--drop: {name!r} is given to --keep, too; name it once")


def _require_features(choices: Mapping[str, ColumnUse], target: Target) -> None:
    if any(choice.role != "out" for choice in choices.values()):
        return
    reasons = "; ".join(f"{name}: {choice.reason}" for name, choice in list(choices.items())[:5])
    reasons = reasons or "the table has no other"
    raise TreadleError(f"no column is left to predict {target.name!r} from ({reasons}); --keep uses one")


# --- moments as numbers -------------------------------------------------------------------------------


def _derive(choices: Mapping[str, ColumnUse], at: Profile | None, *, taken: set[str]) -> list[Derived]:
    derived: list[Derived] = []
    for choice in choices.values():
        if choice.role == "moment":
            derived += _derive_moment(choice.profile, at, taken)
    return derived


def _derive_moment(profile: Profile, at: Profile | None, taken: set[str]) -> list[Derived]:
    name = profile.name
    is_at = at is not None and at.name == name
    parts = [Derived(_free(f"{name}_{part}", taken), *how) for part, how in _list_parts(profile, is_at=is_at)]
    if profile.column.dtype == "time":
        return parts
    if is_at:
        return parts
    seconds, comment = f"EXTRACT(EPOCH FROM {_as_moment(profile)})", "days since 1970"
    if at is not None:  # whole seconds are subtracted without rounding, which the edges of bins would take for values
        seconds, comment = f"(EXTRACT(EPOCH FROM {_as_moment(at)}) - {seconds})", f"days before {at.name}"
    days = f"{seconds} / 86400"
    return [*parts, Derived(_free(f"{name}_days", taken), days, comment)]


def _list_parts(profile: Profile, *, is_at: bool) -> Iterator[tuple[str, tuple[str, str, int]]]:
    """Periodic parts by name: expression, comment and period."""
    column, form = quote(profile.name), profile.column.format
    month = f"EXTRACT(MONTH FROM {column})"
    if profile.column.dtype in {"datetime", "time"} and not is_coarse(form):
        yield "minute", (f"EXTRACT(HOUR FROM {column}) * 60 + EXTRACT(MINUTE FROM {column})", "of the day", 1440)
    if profile.column.dtype == "time":
        return
    if is_coarse(form):
        if profile.num_distinct > 1 and form != "%Y":
            yield "month", (month, "of the year", 12)
        return
    yield "weekday", (f"EXTRACT(DOW FROM {column})", "0 is Sunday", 7)
    if is_at and profile.high - profile.low > timedelta(days=730):
        day = f"EXTRACT(DOY FROM {column})"
        yield "day_of_year", (day, "the table spans more than two years", 366)


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
