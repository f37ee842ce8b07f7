"""What a key means: its type, range, unit and purpose, from the docstrings of its section's field or of its target."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic
from pydantic_core import PydanticUndefined

from treadle.check.structure import list_models
from treadle.experiment import spec
from treadle.explain.spec_types import has_target, join_metadata, read_type
from treadle.keys import get
from treadle.targets.annotations import ANY, LIMITS, Type
from treadle.targets.docstrings import read_words
from treadle.targets.signatures import Parameter, UnknownTargetError, read_signature

TARGET_KEYS = {
    "_target_": (Type("scalar", "str"), "Dotted path of the class or function that is built"),
    "_partial_": (
        Type("scalar", "bool"),
        "Pass a nested target uncalled to the target that holds it; no effect where Treadle calls the target",
    ),
}
_UNIT = re.compile(r"\s*\[([^\]]+)\]$")
NO_DEFAULT = PydanticUndefined


@dataclass(frozen=True)
class Meaning:
    """What is known about a key, whatever its value."""

    type: Type = ANY
    text: str = ""
    unit: str = ""
    section: str = ""  # summary of the section or the target, from its docstring
    target: str = ""  # the dotted path that takes the key as an argument
    default: Any = NO_DEFAULT


@dataclass(frozen=True)
class _Node:
    """A step on the path from the root of the specification to a key."""

    annotation: Any  # of a field of the specification; None inside a target
    meaning: Meaning


# --- sentences ----------------------------------------------------------------------------------------


def describe_key(model: type[pydantic.BaseModel], name: str) -> tuple[str, str]:
    """The meaning of a section's key, and its unit."""
    return split_unit(" ".join((model.model_fields[name].description or "").split()))


def split_unit(text: str) -> tuple[str, str]:
    """A sentence, and the unit in brackets at its end.

    >>> split_unit("Number of epochs to wait [epochs].")
    ('Number of epochs to wait', 'epochs')
    """
    text = text.replace("None:", "null:").removesuffix(".")
    found = _UNIT.search(text)
    return (text[: found.start()], found[1]) if found else (text, "")


def describe_limits(kind: Type) -> str:
    """The range of a type as text."""
    members = kind.members if kind.kind == "union" else (kind,)
    limits = {name: limit for member in members for name, limit in member.limits.items()}
    texts = {**{name: text for name, (text, _) in LIMITS.items()}, "min_length": "of length at least"}
    return " and ".join(f"{texts[name]} {limit:g}" for name, limit in limits.items())


# --- from a key to its meaning ------------------------------------------------------------------------


def find_meaning(key: str, values: Any) -> Meaning | None:
    """The meaning of a dotted key in an experiment with these values; None for a key that cannot exist."""
    node = _find_node(key, values)
    return node.meaning if node is not None else None


def list_unset(key: str, values: Any) -> dict[str, Meaning]:
    """The keys that a section may hold and does not, each with its meaning; none where a target's arguments stand."""
    node, section = _find_node(key, values), get(values, key)
    if node is None or not isinstance(section, Mapping) or (has_target(node.annotation) and not _is_in_place(section)):
        return {}
    models = [model for model in list_models(node.annotation) if _fits(model, section)]
    unset = dict.fromkeys(name for model in models for name in model.model_fields if name not in section)
    steps = {name: _step(node, name, section) for name in unset}
    return {name: step.meaning for name, step in steps.items() if step is not None}


def _find_node(key: str, values: Any) -> _Node | None:
    model = spec.find_spec(values)
    node = _Node(model, Meaning(Type("class", model.__name__), section=_first_paragraph(model)))
    for part in key.split("."):
        step = _step(node, part, values)
        if step is None:
            return None
        node, values = step, _descend(values, part)
    return node


def _descend(values: Any, part: str) -> Any:
    if isinstance(values, Mapping):
        return values.get(part)
    if isinstance(values, list) and part.isdecimal() and int(part) < len(values):
        return values[int(part)]
    return None


def _step(node: _Node, part: str, values: Any) -> _Node | None:
    if node.annotation is None or (has_target(node.annotation) and not _is_in_place(values)):
        return _step_into_target(node, part, values)
    models = [model for model in list_models(node.annotation) if _fits(model, values)]
    for model in models:
        if part in model.model_fields:
            return _enter(model, part, values)
    return None if models else _step_into_items(node, part, _descend(values, part))


def _is_in_place(values: Any) -> bool:
    """Whether a section stands in place of a `_target_`."""
    return spec.is_rule(values) or spec.is_blend(values)


def _fits(model: type[pydantic.BaseModel], values: Any) -> bool:
    """Whether a member of a union is the one that `by` names, or whose keys the values have."""
    if model in (spec.Blend, spec.ModelRule):
        return spec.is_blend(values) if model is spec.Blend else spec.is_rule(values)
    kinds = list_kinds(model)
    return not kinds or (isinstance(values, Mapping) and values.get("by", model.model_fields["by"].default) in kinds)


def list_kinds(model: type[pydantic.BaseModel]) -> tuple[str, ...]:
    """The values of `by` that select this member of a union; none for a model that is not a member of one."""
    by = model.model_fields.get("by")
    kinds = typing.get_args(by.annotation) if by is not None and typing.get_origin(by.annotation) is Literal else ()
    return kinds if len(kinds) == 1 else ()  # where several are allowed, `by` is a key as any other


def _enter(model: type[pydantic.BaseModel], name: str, values: Any) -> _Node:
    field = model.model_fields[name]
    text, unit = describe_key(model, name)
    annotation = join_metadata(field)
    value = _descend(values, name)
    section = _describe_section(annotation, value)
    return _Node(annotation, Meaning(read_type(annotation), text, unit, section, default=field.default))


def _step_into_items(node: _Node, part: str, value: Any) -> _Node | None:
    """An entry of a mapping or a list, which has the meaning of the whole."""
    for member in _list_members(node.annotation):
        if typing.get_origin(member) in {dict, list}:
            inner = typing.get_args(member)[-1]
            if typing.get_origin(member) is list and not part.isdecimal():
                continue
            section = _describe_section(inner, value)
            return _Node(inner, Meaning(read_type(inner), node.meaning.text, node.meaning.unit, section))
    return None


def _list_members(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _list_members(typing.get_args(annotation)[0])
    members = typing.get_args(annotation) if typing.get_origin(annotation) not in {dict, list} else ()
    return [inner for member in members for inner in _list_members(member)] or [annotation]


def _describe_section(annotation: Any, value: Any) -> str:
    if has_target(annotation) and not _is_in_place(value):
        return summarize_target(value)
    models = [model for model in list_models(annotation) if _fits(model, value)]
    return _first_paragraph(models[0]) if len(models) == 1 else ""


def _first_paragraph(model: type[pydantic.BaseModel]) -> str:
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n", 1)[0].split())


# --- arguments of targets -----------------------------------------------------------------------------


def _step_into_target(node: _Node, part: str, values: Any) -> _Node | None:
    if not isinstance(values, Mapping) or not isinstance(values.get("_target_"), str):
        kind = node.meaning.type.members[-1] if node.meaning.type.members else ANY
        inside = isinstance(values, Mapping | list) and _descend(values, part) is not None
        meaning = Meaning(kind, node.meaning.text, node.meaning.unit, target=node.meaning.target)
        return _Node(None, meaning) if inside else None
    path = values["_target_"]
    if part in TARGET_KEYS:
        kind, text = TARGET_KEYS[part]
        return _Node(None, Meaning(kind, text, target=path))
    try:
        signature = read_signature(path)
    except (UnknownTargetError, SyntaxError):
        signature = None
    if signature is None or (part not in signature.parameters and signature.open):
        return _Node(None, Meaning(target=path)) if part in values else None
    found = signature.parameters.get(part)
    return _Node(None, _describe_argument(path, found, values)) if found is not None else None


def _describe_argument(path: str, parameter: Parameter, values: Mapping[str, Any]) -> Meaning:
    text, unit = describe_argument(path, parameter.name)
    section = summarize_target(values.get(parameter.name))
    return Meaning(parameter.type, text, unit, section, target=path, default=read_default(parameter))


def describe_argument(path: str, name: str) -> tuple[str, str]:
    """The meaning of a target's argument, and its unit."""
    text, unit = split_unit(read_words(path).arguments.get(name, ""))
    return text[:1].upper() + text[1:], unit


def read_default(parameter: Parameter) -> Any:
    """The default of an argument; NO_DEFAULT where there is none that is a literal."""
    try:
        return ast.literal_eval(parameter.default) if parameter.default else NO_DEFAULT
    except (SyntaxError, ValueError):
        return NO_DEFAULT


def summarize_target(value: Any) -> str:
    """The first paragraph of the docstring of a node's `_target_`; empty where there is none."""
    path = value.get("_target_") if isinstance(value, Mapping) else None
    try:
        return read_words(path).summary if isinstance(path, str) else ""
    except (UnknownTargetError, SyntaxError):
        return ""
