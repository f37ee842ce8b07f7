"""params.yaml: which option of each group, and single values. It is what `dvc exp run -S` edits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from treadle.config.compose import compose, list_options
from treadle.config.locations import read_marks, show_path
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.hints import nearest, show
from treadle.problems import ConfigError, Place, Problem

FILE = "params.yaml"
SET = "set"  # key of single values


def read_selection(path: Path, *, root: Path) -> dict[str, Place]:
    """The selection as Hydra overrides, each with the place where it is written.

    They are plain `key=value`, never `++key=value`: a key that does not exist is a mistake, not a new key.

    Raises:
        ConfigError: the file names something that is not a group.
    """
    if not path.is_file():
        raise TreadleError(f"no {path}; it holds the selection, such as `experiment: flights`")
    text = read_text(path)
    try:
        selection = YAML(typ="safe", pure=True).load(text) or {}  # YAML 1.2, which DVC writes
    except (YAMLError, ValueError, RecursionError) as error:  # such as a number of thousands of digits
        raise TreadleError(f"{path} is not YAML: {error}") from error
    if not isinstance(selection, dict):
        raise TreadleError(f"{path} must hold one line a group, such as `experiment: flights`; found {selection!r}")
    _refuse_cycle(selection, path)
    options = list_options(root)
    unknown = [str(name) for name in selection if name not in {*options, SET}]
    problems = [_describe_unknown(name, _place(path, name, root), [*options, SET], root) for name in unknown]
    chosen = {group: (group, value) for group, value in selection.items() if group != SET and value is not None}
    problems += [
        Problem(group, f"must be an option's name; found {show(value)}", place=_place(path, group, root))
        for group, value in chosen.values()
        if group in options and isinstance(value, dict)
    ]
    if problems:
        raise ConfigError(problems)
    values = selection.get(SET) or {}
    if not isinstance(values, dict):
        raise TreadleError(f"{path}: {SET!r} must hold keys, such as `{SET}: {{seed: 1}}`; found {values!r}")
    base = _compose_choices([f"{group}={value}" for group, value in chosen.values()], root) if values else {}
    single = {f"{SET}.{key}": (key, value) for key, value in _list_values(values, "", base)}
    pairs = {**chosen, **single}.items()
    return {
        f"{key}={quote(value) if place in single else value}": _place(path, place, root)
        for place, (key, value) in pairs
    }


def _refuse_cycle(selection: dict[Any, Any], path: Path) -> None:
    try:
        json.dumps(selection, default=str, skipkeys=True)
    except (ValueError, RecursionError) as error:
        raise TreadleError(f"{path}: a value holds itself, by an anchor and an alias; write it out") from error


def _describe_unknown(name: str, place: Place, allowed: list[str], root: Path) -> Problem:
    rule = f"{name!r} is not a group"
    if name in _compose_choices([], root):
        return Problem(name, f"{rule}, but a key", f"write it under `{SET}:`", place)
    return Problem(name, rule, place=place, hint=nearest(name, allowed))


def _place(path: Path, key: str, root: Path) -> Place:
    marks = read_marks(path.resolve()).get(key)
    return Place(show_path(path.resolve(), root.resolve()), *(marks.value if marks is not None else ()))


def _compose_choices(overrides: list[str], root: Path) -> dict[str, Any]:
    """The values that the groups alone compose to; empty where they do not compose, which `compose` reports later."""
    try:
        return compose(overrides=overrides, root=root).written
    except ConfigError:
        return {}


def _list_values(values: dict[str, Any], prefix: str, base: Any) -> Iterator[tuple[str, Any]]:
    """Single values by dotted key. Keys that replace a null are one value: there is nothing to merge with."""
    for key, value in values.items():
        known = isinstance(base, dict) and key in base
        if isinstance(value, dict) and value and (not known or isinstance(base[key], dict)):
            yield from _list_values(value, f"{prefix}{key}.", base[key] if known else None)
        else:
            yield f"{prefix}{key}", value


def quote(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    if isinstance(value, list):
        return "[" + ",".join(map(quote, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{quote(v)}" for k, v in value.items()) + "}"
    return str(value)
