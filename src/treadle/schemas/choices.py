"""Schemas of objects that one key decides: `_target_` a component's arguments, `by` a split's keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from treadle.schemas.values import OPEN, OPEN_TEXT, Schema, allow_open, make_enum
from treadle.targets.rules import Exclusive, OnlyWith, Rule, Together


@dataclass(frozen=True)
class Branch:
    """What an object may hold when the deciding key has one value."""

    words: str  # what the value stands for
    properties: dict[str, Schema]
    open: bool = False  # further keys are allowed
    rules: list[Rule] = field(default_factory=list)


def make_choice(
    key: str,
    branches: Mapping[str, Branch],
    *,
    shared: Mapping[str, Schema],
    words: str,
    without: Mapping[str, Schema] | None = None,
) -> Schema:
    """An object whose keys depend on the value of `key`; where that is not given here, the keys of any branch.

    Args:
        key: the deciding one.
        branches: by its value.
        shared: properties that every branch has.
        words: what `key` means.
        without: properties of an object that does without `key`.
    """
    decided = {
        key: {**make_enum({value: branch.words for value, branch in branches.items()}), "description": words},
        **shared,
    }
    named: dict[str, Schema] = {name: {} for name in decided}  # allowed in each branch, judged once
    conditions = [_make_condition(key, value, branch, named) for value, branch in branches.items()]
    undecided = {**_unite([*(b.properties for b in branches.values()), without or {}]), **named}
    is_open = any(branch.open for branch in branches.values())
    conditions.append({"if": {"not": {"required": [key]}}, "then": _close(undecided, is_open=is_open)})
    return allow_open({"type": "object", "properties": decided, "allOf": conditions}, words="a section")


def _make_condition(key: str, value: str, branch: Branch, named: Mapping[str, Schema]) -> Schema:
    then = _close({**branch.properties, **named}, is_open=branch.open)
    rules = [schema for rule in branch.rules for schema in _make_rule(rule)]
    return {"if": _has(key, {"const": value}), "then": {**then, "allOf": rules} if rules else then}


def _close(properties: Mapping[str, Schema], *, is_open: bool) -> Schema:
    return (
        {"properties": dict(properties)} if is_open else {"properties": dict(properties), "additionalProperties": False}
    )


def _has(key: str, schema: Schema) -> Schema:
    return {"properties": {key: schema}, "required": [key]}


def _unite(parts: Iterable[Mapping[str, Schema]]) -> dict[str, Schema]:
    """The properties of several objects; one that they declare differently may be any of theirs."""
    united: dict[str, list[Schema]] = {}
    for part in parts:
        for name, schema in part.items():
            known = united.setdefault(name, [])
            if schema not in known:
                known.append(schema)
    return {name: known[0] if len(known) == 1 else _unite_one(known) for name, known in united.items()}


def _unite_one(schemas: list[Schema]) -> Schema:
    words = list(dict.fromkeys(schema["description"] for schema in schemas if schema.get("description")))
    bare = [{k: v for k, v in schema.items() if k not in {"description", "default"}} for schema in schemas]
    distinct = [schema for index, schema in enumerate(bare) if schema not in bare[:index]]
    described = {"description": " / ".join(words)} if words else {}
    return {**described, **(distinct[0] if len(distinct) == 1 else {"anyOf": distinct})}


# --- rules between arguments --------------------------------------------------------------------------


def _make_rule(rule: Rule) -> Iterator[Schema]:
    """A rule as conditions, so that a breach is told at the argument; what is decided elsewhere breaks none."""
    match rule:
        case Exclusive(names=names):
            for first, second in combinations(names, 2):
                said = f"{first!r} and {second!r} exclude each other"
                yield {"if": _given(first), "then": {"properties": {second: _refuse_given(said)}}}
        case Together(names=names):
            said = f"{', '.join(map(repr, names))} are given together or not at all"
            for name in names:
                others = {other: _refuse_absent(said) for other in names if other != name}
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


def _refuse_given(said: str) -> Schema:
    types = ["null", "string", "array", "object"]
    empty: Schema = {"pattern": OPEN, "patternErrorMessage": said, "maxItems": 0, "maxProperties": 0}
    return {"type": types, "errorMessage": said, **empty}


def _refuse_absent(said: str) -> Schema:
    types = ["number", "string", "boolean", "array", "object"]
    return {"type": types, "errorMessage": said, "minItems": 1, "minProperties": 1}
