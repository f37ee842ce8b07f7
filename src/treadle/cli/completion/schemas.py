"""Names and values that the JSON Schemas in conf/.schema allow, where there are such."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = ".schema"  # of conf/: one file a group
_BRANCHES = ("anyOf", "oneOf", "allOf")


def list_names(conf: Path, group: str, path: list[str]) -> Iterator[tuple[str, bool]]:
    """The keys below a dotted path of a group, each with whether more lies below it."""
    schema = _read(conf, group)
    for node in _find(schema, path):
        for name, inner in node.get("properties", {}).items():
            yield name, any(one.get("properties") for one in _expand(inner, schema))


def list_values(conf: Path, group: str, path: list[str]) -> Iterator[Any]:
    """The values that a key may have, where the schema lists them."""
    for node in _find(_read(conf, group), path):
        yield from node.get("enum", [])
        if "const" in node:
            yield node["const"]
        if node.get("type") == "boolean":
            yield from (True, False)


def _read(conf: Path, group: str) -> Any:
    file = conf / FOLDER / f"{group}.json"
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except json.JSONDecodeError:
        return {}


def _find(schema: Any, path: list[str]) -> list[dict[str, Any]]:
    """Every part of the schema that speaks of the path."""
    nodes = list(_expand(schema, schema))
    for name in path:
        nodes = [part for node in nodes for inner in _step(node, name) for part in _expand(inner, schema)]
    return nodes


def _step(node: dict[str, Any], name: str) -> Iterator[Any]:
    properties = node.get("properties", {})
    if name in properties:
        yield properties[name]
    elif isinstance(node.get("additionalProperties"), dict):
        yield node["additionalProperties"]


def _expand(node: Any, schema: Any, seen: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """The node, what it refers to, and its alternatives."""
    if not isinstance(node, dict):
        return
    yield node
    reference = node.get("$ref", "")
    if reference.startswith("#/") and reference not in seen:
        target = schema
        for part in reference[2:].split("/"):
            target = target.get(part, {})
        yield from _expand(target, schema, seen | {reference})
    for branch in _BRANCHES:
        for inner in node.get(branch, []):
            yield from _expand(inner, schema, seen)
