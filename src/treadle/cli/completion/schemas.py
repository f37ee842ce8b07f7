"""Names and values that the JSON Schemas in conf/.schema allow, where they exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

FOLDER = ".schema"  # of conf/: one file a group
_BRANCHES = ("anyOf", "oneOf", "allOf")


def list_names(conf: Path, group: str, path: list[str]) -> Iterator[tuple[str, bool]]:
    """The keys below a dotted path of a group, each with whether it has keys below it."""
    for part in _find(conf, group, path):
        for name, inner in part.node.get("properties", {}).items():
            yield name, any(one.node.get("properties") for one in _expand(part.enter(inner)))


def list_values(conf: Path, group: str, path: list[str]) -> Iterator[Any]:
    """The values that a key may have, where the schema lists them."""
    for part in _find(conf, group, path):
        yield from part.node.get("enum", [])
        if "const" in part.node:
            yield part.node["const"]
        if part.node.get("type") == "boolean":
            yield from (True, False)


@dataclass(frozen=True)
class _Part:
    """A part of a schema, and the file that its references start from."""

    node: Any
    file: Path
    roots: dict[Path, Any] = field(default_factory=dict)  # the files that were read

    def enter(self, node: Any) -> _Part:
        return _Part(node, self.file, self.roots)

    def follow(self, reference: str) -> _Part:
        """What a `$ref` names, by its path from the root of this file, or of one beside it."""
        name, _, pointer = reference.partition("#")
        file = self.file.parent / name if name else self.file
        if file not in self.roots:
            self.roots[file] = _read(file)
        node = self.roots[file]
        for step in pointer.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, dict) else None
        return _Part(node, file, self.roots)


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except json.JSONDecodeError:
        return None


def _find(conf: Path, group: str, path: list[str]) -> list[_Part]:
    """Every part of the schema of a group that describes the path."""
    parts = list(_expand(_Part(None, conf / FOLDER / group).follow(f"{group}.json")))
    for name in path:
        parts = [inner for part in parts for step in _step(part.node, name) for inner in _expand(part.enter(step))]
    return parts


def _step(node: dict[str, Any], name: str) -> Iterator[Any]:
    properties = node.get("properties", {})
    if name in properties:
        yield properties[name]
    elif isinstance(node.get("additionalProperties"), dict):
        yield node["additionalProperties"]


def _expand(part: _Part, seen: frozenset[tuple[Path, str]] = frozenset()) -> Iterator[_Part]:
    """The part, what it refers to, and its alternatives."""
    if not isinstance(part.node, dict):
        return
    yield part
    reference = part.node.get("$ref")
    if reference is not None and (part.file, reference) not in seen:
        yield from _expand(part.follow(reference), seen | {(part.file, reference)})
    for branch in _BRANCHES:
        for inner in part.node.get(branch, []):
            yield from _expand(part.enter(inner), seen)
