"""The axes of a sweep, in Hydra's grammar: `model=mlp,tabm`, `seed=range(5)`, `lr=tag(log,interval(1e-4,1e-2))`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import HydraException

from treadle.config.overrides import key_of, parse
from treadle.config.selection import quote
from treadle.hints import nearest
from treadle.problems import Place, Problem

# The keys whose values are replicates of one setting.
SEED = "seed"
FOLD = "data.split.fold"


class Replicate(NamedTuple):
    """One of the runs that repeat a setting."""

    seed: int
    fold: int | None = None  # None: folds are not swept

    def add_to(self, setting: Mapping[str, str]) -> dict[str, str]:
        """The setting with the fold, as a space takes it; the seed is apart."""
        return dict(setting) if self.fold is None else {**setting, FOLD: str(self.fold)}

    def __str__(self) -> str:
        return f"seed={self.seed}" if self.fold is None else f"seed={self.seed} fold={self.fold}"


@dataclass(frozen=True)
class Choices:
    """An axis whose values are listed."""

    key: str  # as an override writes it: `model`, `+model.extra`
    values: tuple[str, ...]  # right sides of overrides, in the order in which a grid takes them


@dataclass(frozen=True)
class Interval:
    """An axis of numbers between two bounds, both included."""

    key: str
    low: float
    high: float
    is_log: bool
    is_integer: bool


Axis = Choices | Interval


def split_overrides(
    overrides: Iterable[str], *, places: Mapping[str, Place], options: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[Axis], list[Problem]]:
    """Overrides that are the same for every trial, the axes, and what is wrong with one.

    Args:
        overrides: in Hydra's grammar, sweeps included.
        places: where each was written.
        options: of each group, which `glob` chooses from.
    """
    fixed: list[str] = []
    axes: list[Axis] = []
    problems: list[Problem] = []
    for text in overrides:
        try:
            parsed = parse(text)
        except (HydraException, ValueError):
            fixed.append(text)  # composing says what is wrong with it
            continue
        if not parsed.is_sweep_override():
            fixed.append(text)
            continue
        found = _read_axis(parsed, options, places.get(text, Place(override=text)))
        if isinstance(found, Problem):
            problems.append(found)
        else:
            axes.append(found)
    return fixed, axes, problems


def read_space(
    space: Mapping[str, Any], *, place: Place, options: Mapping[str, Sequence[str]]
) -> tuple[list[Axis], list[Problem]]:
    """The axes of a `sweep.space`: of each key a list of values, or a text in Hydra's grammar."""
    listed = {key: value for key, value in space.items() if isinstance(value, list) and value}
    axes: dict[str, Axis] = {key: Choices(key, tuple(dict.fromkeys(map(quote, listed[key])))) for key in listed}
    texts = [f"{key}={value}" for key, value in space.items() if key not in listed]
    fixed, written, problems = split_overrides(texts, places=dict.fromkeys(texts, place), options=options)
    axes |= {axis.key: axis for axis in written}
    for text in fixed:
        key = key_of(text)
        rule = f"sweep.space.{key}: {space[key]!r} gives one value, or is not in Hydra's grammar of sweeps"
        fix = "write a list, or such as choice(a, b), range(5), tag(log, interval(1e-4, 1e-2))"
        problems.append(Problem(f"sweep.space.{key}", rule, fix, place))
    return [axes[key] for key in space if key in axes], problems


def _read_axis(parsed: Override, options: Mapping[str, Sequence[str]], place: Place) -> Axis | Problem:
    key = str(parsed.get_key_element())
    value = parsed.value()
    if isinstance(value, IntervalSweep):
        return _read_interval(key, value, place)
    if isinstance(value, Glob):
        return _expand_glob(key, value, options, place)
    try:
        values = tuple(dict.fromkeys(parsed.sweep_string_iterator()))
    except Exception as error:  # noqa: BLE001 - Hydra and OmegaConf raise their own for a sweep within a sweep
        return Problem(
            key, f"{parsed.input_line!r} is no sweep: {str(error).splitlines()[0]}", "list plain values", place
        )
    return Choices(key, values) if values else Problem(key, f"{parsed.input_line!r} gives no value", "", place)


def _read_interval(key: str, value: IntervalSweep, place: Place) -> Interval | Problem:
    low, high = float(value.start or 0), float(value.end or 0)
    is_integer = "int" in value.tags or isinstance(value.start, int)
    is_log = "log" in value.tags
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return Problem(
            key, f"an interval goes from a smaller number to a larger one, found {low:g} to {high:g}", "", place
        )
    if is_log and low <= 0:
        return Problem(key, f"a logarithmic interval begins above 0, found {low:g}", "", place)
    return Interval(key, low, high, is_log=is_log, is_integer=is_integer)


def _expand_glob(key: str, value: Glob, options: Mapping[str, Sequence[str]], place: Place) -> Choices | Problem:
    """Hydra's own loader sees the project's options alone; `options` holds the shipped ones, too."""
    if key not in options:
        return Problem(
            key, f"glob() lists the options of a group, and {key!r} is none", "", place, nearest(key, options)
        )
    names = tuple(value.filter(list(options[key])))
    if names:
        return Choices(key, names)
    return Problem(
        key, f"glob({', '.join(value.include)}) matches no option of {key!r}", "", place, nearest("", options[key])
    )
