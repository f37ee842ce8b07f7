"""Overrides (`model=mlp schedule.max_epochs=3`): parsed, and checked one by one before anything is composed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from treadle.hints import nearest
from treadle.keys import ABSENT
from treadle.problems import Place, Problem

Options = Mapping[str, Sequence[str]]  # of each group


def key_of(text: str) -> str:
    """The key of an override, without `+`, `~`, package and value."""
    return text.lstrip("+~").split("=", 1)[0].split("@", 1)[0].strip()


@cache
def parse(text: str) -> Override:
    """An override by Hydra's grammar.

    Raises:
        HydraException: it is none.
        ValueError: it holds a number of thousands of digits.
    """
    return OverridesParser.create().parse_override(text)


def read_value(text: str) -> Any:
    """The value of an override; ABSENT where it deletes the key."""
    return ABSENT if parse(text).is_delete() else parse(text).value()


def is_choice(text: str, groups: Collection[str]) -> bool:
    """Whether an override selects an option of a group, or deletes it; any other sets, adds or deletes a key."""
    return parse(text).key_or_group in groups and not isinstance(parse(text).value(), dict)


def find_faults(overrides: Mapping[str, Place], options: Options) -> dict[str, Problem]:
    """The overrides that are wrong by themselves, each with its problem."""
    faults: dict[str, Problem] = {}
    chosen: dict[str, str] = {}  # by group and package; Hydra would take the last of two
    for text, place in overrides.items():
        fault = _find_unreadable(text, place) or _find_unknown_option(text, place, options)
        if fault is None and is_choice(text, options):
            before = chosen.setdefault(parse(text).get_key_element().lstrip("+~"), text)
            if before != text:
                rule = f"the group {key_of(text)!r} is selected twice: {before!r} and {text!r}"
                fault = Problem(key_of(text), rule, "keep one of them", place)
        if fault is not None:
            faults[text] = fault
    return faults


def _find_unreadable(text: str, place: Place) -> Problem | None:
    try:
        parsed = parse(text)
    except HydraException:
        return Problem("", f"{text!r} is not an override", "write key=value, +key=value or ~key", place)
    except ValueError:  # longer than Python parses
        return Problem(key_of(text), "a number of thousands of digits", "give a shorter one", place)
    if not parsed.is_sweep_override():
        return None
    rule = f"{text!r} asks for several runs; this command makes one"
    return Problem(
        key_of(text),
        rule,
        f"`treadle run -m` runs each; else give one value, a text with a comma in quotes: {key_of(text)}='a,b'",
        place,
    )


def _find_unknown_option(text: str, place: Place, options: Options) -> Problem | None:
    if not is_choice(text, options) or parse(text).is_delete():
        return None
    group, value = key_of(text), parse(text).value()
    if all(_is_option(group, name, options) for name in (value if isinstance(value, list) else [value])):
        return None
    head, _, written = text.partition("=")
    hint = nearest(written, options[group], command=f"treadle explain {group}")
    fix = f"{head}={hint.nearest}" if hint.nearest else ""
    rule = f"{written!r} is not an option of the group {group!r}"
    return Problem(group, rule, place=place, hint=hint, fix_override=fix)


def _is_option(group: str, name: Any, options: Options) -> bool:
    """Whether a group has such an option: a file of its folder or a subfolder. Interpolations pass."""
    folder, _, stem = f"{group}/{name}".rpartition("/")
    return isinstance(name, str) and ("${" in name or stem in options.get(folder, ()))
