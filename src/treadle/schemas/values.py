"""Schemas of values: a `Type` in JSON Schema. An interpolation, or `???`, may stand in place of any value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from treadle.targets.annotations import Type

Schema = dict[str, Any]

OPEN = r"\$\{|^\?\?\?$"  # decided elsewhere: `${…}`, or a value that must still be given
OPEN_TEXT: Schema = {"type": "string", "pattern": OPEN}
_NAMES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
_LIMITS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
}
_SIZES = {"string": "Length", "array": "Items", "object": "Properties"}


def make_value(kind: Type) -> Schema:
    """The schema of a type, open to interpolations."""
    expected = f"a text that matches {kind.pattern}" if kind.pattern else str(kind)
    return allow_open(_make_closed(kind), expected=expected)


def refer(*parts: str, file: str = "") -> Schema:
    """A reference to a part of a schema file, by its path from the root; of this file, or of one beside it."""
    steps = "".join(f"/{quote(part.replace('~', '~0').replace('/', '~1'), safe='~')}" for part in parts)
    return {"$ref": f"{file}#{steps}" if steps or not file else file}


def allow_open(schema: Schema, *, expected: str) -> Schema:
    """The schema that allows an interpolation, too; `expected` is what else is valid, for the message."""
    if not schema or schema == {"type": "string"}:
        return schema
    if "type" not in schema:
        return {"anyOf": [*schema.get("anyOf", [schema]), OPEN_TEXT]}
    types = as_list(schema["type"])
    if "string" in types and "pattern" not in schema:
        return schema
    pattern = f"{schema['pattern']}|{OPEN}" if "pattern" in schema else OPEN
    types = types if "string" in types else [*types, "string"]
    return {**schema, "type": types, "pattern": pattern, "patternErrorMessage": f"must be {expected}, or ${{…}}"}


def as_list(types: Any) -> list[str]:
    """The types of a schema, which may be one name."""
    return list(types) if isinstance(types, list) else [types]


def make_enum(options: Mapping[str, str]) -> Schema:
    """One of these texts, each with its description."""
    return {"anyOf": [make_closed_enum(options), OPEN_TEXT]}


def make_closed_enum(options: Mapping[str, str]) -> Schema:
    """One of these texts, each with its description, and no interpolation."""
    described = {"enumDescriptions": list(options.values())} if any(options.values()) else {}
    return {"enum": list(options), **described}


def _make_closed(kind: Type) -> Schema:  # noqa: PLR0911 - one a kind of type
    match kind.kind:
        case "any":
            return {}
        case "none":
            return {"type": "null"}
        case "literal":
            return {"enum": list(kind.options)}
        case "scalar":
            pattern = {"pattern": kind.pattern} if kind.pattern else {}
            return {"type": _NAMES[kind.name], **_limit(kind, _NAMES[kind.name]), **pattern}
        case "list":
            items = {"items": make_value(kind.members[0])} if kind.members else {}
            return {"type": "array", **items, **_limit(kind, "array")}
        case "tuple":
            size = len(kind.members)
            return {"type": "array", "items": list(map(make_value, kind.members)), "minItems": size, "maxItems": size}
        case "mapping":
            inner = {"additionalProperties": make_value(kind.members[0])} if kind.members else {}
            return {"type": "object", **inner, **_limit(kind, "object")}
        case "class":
            return {"type": "object", "required": ["_target_"]}
        case "union":
            return _join([_make_closed(member) for member in kind.members])


def _limit(kind: Type, name: str) -> Schema:
    limits = {_LIMITS[limit]: value for limit, value in kind.limits.items() if limit in _LIMITS}
    sizes = {f"{limit[:3]}{_SIZES[name]}": kind.limits[limit] for limit in kind.limits if limit.endswith("_length")}
    return {**limits, **sizes}


def _join(members: list[Schema]) -> Schema:
    """One schema where the members' types differ, since each keyword speaks of one type alone; else any of them."""
    if not all(members):
        return {}
    types = [name for member in members for name in as_list(member.get("type", "enum"))]
    if "enum" in types or len(set(types)) < len(types):
        return {"anyOf": members}
    joined = {keyword: value for member in members for keyword, value in member.items()}
    return {**joined, "type": types}
