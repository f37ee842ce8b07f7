"""Where a value of the composed configuration was written: file, line and column, or the override."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

from treadle.problems import NOWHERE, Place


class Marks(NamedTuple):
    """Where a key and its value begin (line and column, from 1), and how the value is written."""

    key: tuple[int, int]
    value: tuple[int, int]
    style: str | None  # YAML's: None plain, ' or " quoted, | or > block


@dataclass(frozen=True)
class Source:
    """One file of the defaults list, and the key under which its content stands."""

    path: Path
    package: str  # "" for the root
    group: str = ""  # that it is an option of

    def find(self, key: str) -> Marks | None:
        """Where `key` is set in this file."""
        prefix = f"{self.package}." if self.package else ""
        return read_marks(self.path).get(key.removeprefix(prefix)) if key.startswith(prefix) else None


@cache
def read_marks(path: Path) -> dict[str, Marks]:
    """The position of every dotted key of a YAML file."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return dict(_walk(node, "")) if node is not None else {}


def _walk(node: yaml.Node, prefix: str) -> Iterator[tuple[str, Marks]]:
    if isinstance(node, yaml.MappingNode):
        pairs = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(index), value, value) for index, value in enumerate(node.value)]
    else:
        return
    for name, key, value in pairs:
        dotted = f"{prefix}{name}"
        yield dotted, Marks(_mark(key), _mark(value), getattr(value, "style", None))
        yield from _walk(value, f"{dotted}.")


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def locate(
    key: str,
    *,
    sources: Sequence[Source],
    overrides: Mapping[str, Place],
    root: Path,
    part: Literal["key", "value"] = "value",
) -> Place:
    """The place that decides `key`: the last override that sets it, else the last file, else its parent's.

    Args:
        key: dotted.
        sources: the files, in the order in which they are merged.
        overrides: with the place where each was written.
        root: the project; files inside it are named relative to it.
        part: of a pair in YAML, the key or the value.
    """
    wanted = key
    for override, place in reversed(list(overrides.items())):
        if wanted.startswith(f"{key_of(override)}.") and override.partition("=")[2].lstrip().startswith("["):
            return place  # a list is replaced as a whole
    while key:
        for override, place in reversed(list(overrides.items())):
            if key_of(override) == key:
                return place
        for source in reversed(sources):
            if source.package == key:
                return Place(show_path(source.path, root), 1, 1)
            marks = source.find(key)
            if marks is not None:
                return Place(show_path(source.path, root), *(marks.key if part == "key" else marks.value))
        key, part = key.rpartition(".")[0], "key"
    inside = (place for override, place in overrides.items() if key_of(override).startswith(f"{wanted}."))
    return next(inside, NOWHERE)


def find_place(path: Path, key: str) -> Place:
    """Where one file sets `key`, else the nearest of its parents."""
    marks = read_marks(path)
    while key and key not in marks:
        key = key.rpartition(".")[0]
    return Place(str(path), *(marks[key].value if key else ()))


def key_of(override: str) -> str:
    """The key of an override, without `+`, `~`, package and value."""
    return override.lstrip("+~").split("=", 1)[0].split("@", 1)[0].strip()


def show_path(path: Path, root: Path) -> str:
    """Relative to the project where it lies inside."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
