"""Schemas of objects whose keys depend on the value of one: `_target_` on its component, `by` on the kind of split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from treadle.schemas.values import OPEN, OPEN_TEXT, Schema, allow_open, make_enum, refer
from treadle.targets.rules import Exclusive, OnlyWith, Rule, Together


@dataclass(frozen=True)
class Branch:
    """The keys of an object for one value of the discriminator."""

    summary: str  # of the value
    properties: dict[str, Schema]
    open: bool = False  # further keys are allowed
    rules: list[Rule] = field(default_factory=list)


def make_discriminated(
    key: str,
    branches: Mapping[str, Branch],
    *,
    name: str,
    definitions: dict[str, Schema],
    shared: Mapping[str, Any],
    description: str,
    without: Mapping[str, Schema] | None = None,
) -> Schema:
    """An object whose keys depend on the value of `key`; where that is not given, the keys of any branch.

    Args:
        key: the discriminator.
        branches: by its value.
        name: of the object, among others of the file.
        definitions: of the file; each branch is added to them.
        shared: properties that every branch has.
        description: of `key`.
        without: properties of an object that has no `key`.
    """
    values = make_enum({value: branch.summary for value, branch in branches.items()})
    properties = {key: {**values, "description": description}, **shared}
    named = dict.fromkeys(properties, True)  # allowed in each branch, validated once
    places = {value: _define(_make_branch(b, named), value, name, definitions) for value, b in branches.items()}
    conditions = [
        {"if": _has(key, {"const": value}), "then": refer("definitions", place)} for value, place in places.items()
    ]
    undecided = {**_unite(branches, places), **(without or {}), **named}
    is_open = any(branch.open for branch in branches.values())
    conditions.append({"if": {"not": {"required": [key]}}, "then": _close(undecided, is_open=is_open)})
    return allow_open({"type": "object", "properties": properties, "allOf": conditions}, expected="a section")


def _define(schema: Schema, value: str, name: str, definitions: dict[str, Schema]) -> str:
    """The name of the definition of this schema: the value, after the object's name where that is taken."""
    place = value if definitions.setdefault(value, schema) == schema else f"{name}.{value}"
    definitions[place] = schema
    return place


def _make_branch(branch: Branch, named: Mapping[str, bool]) -> Schema:
    rules = [schema for rule in branch.rules for schema in _make_rule(rule)]
    closed = _close({**branch.properties, **named}, is_open=branch.open)
    return {**closed, "allOf": rules} if rules else closed


def _close(properties: Mapping[str, Any], *, is_open: bool) -> Schema:
    return (
        {"properties": dict(properties)} if is_open else {"properties": dict(properties), "additionalProperties": False}
    )


def _has(key: str, schema: Schema) -> Schema:
    return {"properties": {key: schema}, "required": [key]}


def _unite(branches: Mapping[str, Branch], places: Mapping[str, str]) -> dict[str, Schema]:
    """The properties of all branches, by reference; one that they declare differently may be any of theirs.

    Args:
        branches: by value.
        places: the name of each branch's definition.
    """
    declared: dict[str, dict[str, Schema]] = {}
    for value, branch in branches.items():
        for key, schema in branch.properties.items():
            declared.setdefault(key, {})[places[value]] = schema
    return {key: _unite_one(key, schemas) for key, schemas in declared.items()}


def _unite_one(key: str, schemas: Mapping[str, Schema]) -> Schema:
    described = list(dict.fromkeys(schema["description"] for schema in schemas.values() if schema.get("description")))
    distinct: dict[str, Schema] = {}  # by the place of the first
    for place, schema in schemas.items():
        bare = {keyword: value for keyword, value in schema.items() if keyword not in {"description", "default"}}
        if bare not in distinct.values():
            distinct[place] = bare
    references = [refer("definitions", place, "properties", key) for place in distinct]
    if len(references) == 1:
        return references[0]
    return {**({"description": " / ".join(described)} if described else {}), "anyOf": references}


# --- rules between arguments --------------------------------------------------------------------------


def _make_rule(rule: Rule) -> Iterator[Schema]:
    """A rule as conditions, so that a breach is reported at the argument; an interpolation breaks no rule."""
    match rule:
        case Exclusive(names=names):
            for first, second in combinations(names, 2):
                message = f"{first!r} and {second!r} exclude each other"
                yield {"if": _given(first), "then": {"properties": {second: _refuse_given(message)}}}
        case Together(names=names):
            message = f"{', '.join(map(repr, names))} are given together or not at all"
            for name in names:
                others = {other: _refuse_absent(message) for other in names if other != name}
                yield {"if": _given(name), "then": {"properties": others}}
        case OnlyWith(name=name, names=names):
            need, refuse = f"is needed with {rule.condition}", f"is read with {rule.condition} only"
            yield {
                "if": _has(name, {"enum": list(rule.values)}),
                "then": {"properties": {other: _refuse_absent(need) for other in names}},
            }
            yield {
                "if": _has(name, {"not": {"anyOf": [{"enum": list(rule.values)}, OPEN_TEXT]}}),
                "then": {"properties": {other: _refuse_given(refuse) for other in names}},
            }


def _given(name: str) -> Schema:
    absent: Schema = {"enum": [None, [], {}]}  # what a rule counts as not given
    return _has(name, {"not": {"anyOf": [absent, OPEN_TEXT]}})


def _refuse_given(message: str) -> Schema:
    types = ["null", "string", "array", "object"]
    empty: Schema = {"pattern": OPEN, "patternErrorMessage": message, "maxItems": 0, "maxProperties": 0}
    return {"type": types, "errorMessage": message, **empty}


def _refuse_absent(message: str) -> Schema:
    types = ["number", "string", "boolean", "array", "object"]
    return {"type": types, "errorMessage": message, "minItems": 1, "minProperties": 1}
