"""Where a value of the composed configuration was written: file and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Source:
    """One file of the defaults list, and the key under which its content stands."""

    path: Path
    package: str  # "" for the root

    def find(self, key: str) -> int | None:
        """The line on which `key` is set in this file, counted from 1."""
        prefix = f"{self.package}." if self.package else ""
        if not key.startswith(prefix):
            return None
        return _lines(self.path).get(key[len(prefix) :])


@cache
def _lines(path: Path) -> dict[str, int]:
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return dict(_walk(node, "")) if node is not None else {}


def _walk(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            dotted = f"{prefix}{key.value}"
            yield dotted, key.start_mark.line + 1
            yield from _walk(value, f"{dotted}.")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            dotted = f"{prefix}{index}"
            yield dotted, value.start_mark.line + 1
            yield from _walk(value, f"{dotted}.")


def locate(key: str, *, sources: list[Source], overrides: list[str], root: Path) -> str:
    """The place that decides `key`: the last override that sets it, else the last file, else its parent's."""
    while key:
        for override in reversed(overrides):
            if override.lstrip("+~").split("=", 1)[0].split("@", 1)[0] == key:
                return f"override {override!r}"
        for source in reversed(sources):
            line = source.find(key)
            if line is not None:
                path = source.path.relative_to(root) if source.path.is_relative_to(root) else source.path
                return f"{path}:{line}"
        key = key.rpartition(".")[0]
    return ""
