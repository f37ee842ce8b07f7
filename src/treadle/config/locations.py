"""Where the files of a configuration set a key: line and column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from treadle.keys import climb, is_within, join
from treadle.problems import Place


class Marks(NamedTuple):
    """Where a key and its value begin (line and column, from 1), and how the value is written."""

    key: tuple[int, int]
    value: tuple[int, int]
    style: str | None  # YAML's: None plain, ' or " quoted, | or > block


@dataclass(frozen=True)
class ConfigFile:
    """One file of the defaults list, and the package (a key) that its content is merged into."""

    path: Path
    package: str  # "" for the root
    group: str = ""  # that it is an option of

    def strip(self, key: str) -> str | None:
        """A key of the composition relative to the package; "" is the package itself, None a key outside of it."""
        if not self.package:
            return key
        return key[len(self.package) + 1 :] if is_within(key, self.package) else None


@cache
def read_marks(path: Path) -> dict[str, Marks]:
    """The position of every dotted key of a YAML file."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return dict(_walk(node, "")) if node is not None else {}


def _walk(node: yaml.Node, section: str) -> Iterator[tuple[str, Marks]]:
    if isinstance(node, yaml.MappingNode):
        pairs = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(index), value, value) for index, value in enumerate(node.value)]
    else:
        return
    for name, key, value in pairs:
        dotted = join(section, name)
        yield dotted, Marks(_mark(key), _mark(value), getattr(value, "style", None))
        yield from _walk(value, dotted)


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def find_place(path: Path, key: str) -> Place:
    """Where one file sets `key`, else the nearest section around it."""
    marks = read_marks(path)
    found = next((marks[section] for section in climb(key) if section in marks), None)
    return Place(str(path), *(() if found is None else found.value))


def show_path(path: Path, root: Path) -> str:
    """The path relative to the project, if it is inside; else as it is."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
