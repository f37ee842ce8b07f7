"""The shape of a configuration against `experiment.spec`: unknown keys, missing ones, types, ranges."""

from __future__ import annotations

import ast
import contextlib
import math
import types
import typing
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pydantic
from pydantic import Field, Tag

from treadle.check.lightning import TABLE_KEYS, find_mixture
from treadle.config.compose import Composed, tell_how_to_list, tell_of_a_rule
from treadle.config.locations import read_marks, show_path
from treadle.config.namesakes import SECURITY, find_namesake, find_renamed
from treadle.config.overrides import key_of
from treadle.experiment.spec import (
    RECORDS,
    AnyExperiment,
    Data,
    Experiment,
    LearnerExperiment,
    complete_examples,
    find_spec,
)
from treadle.hints import Hint, find_nearest, nearest, show
from treadle.keys import get_name, get_section, is_within, join, walk
from treadle.problems import Place, Problem

BITS = 63  # of an integer, without its sign
_TRUTH_VALUES = {"True": {"on", "yes", "true"}, "False": {"off", "no", "false"}}  # as YAML 1.1 writes them


def check_structure(composed: Composed) -> tuple[AnyExperiment, set[str], list[Problem]]:
    """The typed experiment, the names of its valid sections, and the problems of the others.

    The experiment lacks the invalid sections, so that the others can still be checked. The parts of `data` are sections
    of their own: `data.tables`, `data.split` and so on.
    """
    data_parts = {f"data.{name}" for name in Data.model_fields}
    problems = [_refuse_record(key) for key in RECORDS if key in composed.values]
    problems += _find_endless(composed.values)
    problems += find_mixture(composed.values)
    spec = find_spec(composed.values)
    foreign = TABLE_KEYS if spec is LearnerExperiment else RECORDS
    values = {key: value for key, value in composed.values.items() if key not in {*RECORDS, *foreign}}
    try:
        names = {*spec.model_fields, *(data_parts if spec is Experiment else ())}
        return spec.model_validate(values), names, problems
    except pydantic.ValidationError as error:
        problems += [_describe(e, composed) for e in _choose_members(error.errors(include_url=False), composed.values)]
    valid = _validate_parts(spec, values)
    names = set(valid)
    if "data" not in valid and isinstance(values.get("data"), dict):
        parts = _validate_parts(Data, values["data"])
        valid["data"] = Data.model_construct(**parts)
        if {"forecast", "examples", "tables"} <= parts.keys():
            valid["data"] = complete_examples(valid["data"])
        names |= {f"data.{name}" for name in parts}
    elif "data" in valid:
        names |= data_parts
    return spec.model_construct(**valid), names, problems


def _refuse_record(key: str) -> Problem:
    rule = f"{key!r} is written by Treadle, into resolved.yaml"
    return Problem(key, rule, "remove it", part="key", fix_override=f"~{key}")


def _find_endless(values: Any) -> Iterator[Problem]:
    """Numbers that neither a library nor JSON can represent, at any key."""
    for key, value in walk(values):
        if isinstance(value, int) and value.bit_length() > BITS:
            yield Problem(key, f"an integer has at most {BITS} bits; found {show(value)}")
        elif isinstance(value, float) and not math.isfinite(value):
            yield Problem(key, f"must be finite; found {show(value)}")


def _validate_parts(model: type[pydantic.BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """The fields that are valid by themselves."""
    valid = {}
    for name, field in model.model_fields.items():
        annotation: Any = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        if field.discriminator is not None:
            annotation = typing.Annotated[annotation, Field(discriminator=field.discriminator)]
        with contextlib.suppress(pydantic.ValidationError, KeyError):
            valid[name] = pydantic.TypeAdapter(annotation).validate_python(values[name], strict=True)
    return valid


def _locate(error: Any, values: Any) -> str:
    return _dotted(error["loc"], values, absent=error["type"] == "missing")


def _choose_members(errors: Sequence[Any], values: Any) -> list[Any]:
    """One error of a key: of the members of a union, the one whose type fits, else all their types in one error."""
    by_key: dict[str, list[Any]] = {}
    for error in errors:
        by_key.setdefault(_locate(error, values), []).append(error)
    return [_join_types(own) for key, own in by_key.items() if not _is_type_of_another(key, own, by_key)]


def _is_type_of_another(key: str, errors: Sequence[Any], keys: Collection[str]) -> bool:
    """Whether an error inside the value shows that another member of the union is meant."""
    return all(map(_is_of_type, errors)) and any(is_within(other, key) for other in keys if other != key)


def _is_of_type(error: Any) -> bool:
    name: str = error["type"]
    return name == "literal_error" or name.endswith("_type")


def _join_types(errors: Sequence[Any]) -> Any:
    other = next((error for error in errors if not _is_of_type(error)), None)
    if other is not None or len(errors) == 1:
        return other or errors[0]
    rules = dict.fromkeys(_write_rule(error).removeprefix("must be ") for error in errors)
    return {**errors[0], "type": "union_type", "msg": f"must be {' or '.join(rules)}"}


def _describe(error: Any, composed: Composed) -> Problem:
    key = _locate(error, composed.values)
    found = error["input"]
    if error["type"] == "extra_forbidden":
        return _describe_unknown(key, error["loc"], composed)
    if error["type"] == "missing":
        return Problem(key, "this key is required", f"add {key}")
    if error["type"] == "union_tag_invalid":
        key, found = f"{key}.by", error["ctx"]["tag"]
    if error["type"] not in {"literal_error", "union_tag_invalid"}:
        return Problem(key, f"{_write_rule(error)}; found {show(found)}")
    hint = nearest(str(found), _list_literals(error), command=f"treadle explain {key}")
    override = f"{key}={hint.nearest}" if hint.nearest else ""
    return Problem(key, f"{show(found)} is not an allowed value", hint=hint, fix_override=override)


def _describe_unknown(key: str, location: Sequence[Any], composed: Composed) -> Problem:
    """A key that the specification does not have, and the likely intended one, in this section or another."""
    section, _, name = key.rpartition(".")
    if (truth_value := _find_truth_value(key, composed)) is not None:
        return truth_value
    renamed = find_renamed(key)
    if renamed:
        rule = f"{name!r} is the former name of {get_name(renamed)!r}"
        fix = _rewrite(key, renamed, composed)
        return Problem(key, rule, "rename the key", hint=Hint(renamed), fix_override=fix, part="key")
    siblings = _keys_at(location[:-1], find_spec(composed.values))
    close = find_nearest(name, [sibling for sibling in siblings if sibling != SECURITY])
    meant = find_namesake(key, composed.keys) or (join(section, close) if close else "")
    is_beside = get_section(meant) == section
    command = tell_how_to_list(section, composed.keys) if is_within(meant or key, section) else ""
    hint = Hint(get_name(meant) if is_beside else meant, tuple(siblings), command)
    fix = tell_of_a_rule(key, composed.keys, hint) or "nothing reads it"
    override = _rewrite(key, meant, composed) or f"~{key}"
    unknown = key if meant == name else name  # the key of that name outside of all sections is another
    return Problem(key, f"unknown key {unknown!r}", fix, hint=hint, fix_override=override, part="key")


def _find_truth_value(key: str, composed: Composed) -> Problem | None:
    """The problem of a key such as `on`, which YAML reads as true; None where no file writes one."""
    words = _TRUTH_VALUES.get(get_name(key), ())
    for file in composed.files if words else ():
        for inside, marks in read_marks(file.path).items():
            written = join(file.package, inside)
            word = get_name(written)
            if word.lower() in words and get_section(written) == get_section(key):
                rule = f"YAML reads the key `{word}` as a truth value"
                return Problem(
                    written, rule, f'quote it: "{word}"', Place(show_path(file.path, composed.root), *marks.key)
                )
    return None


def _rewrite(key: str, meant: str, composed: Composed) -> str:
    """The override of an unknown key, with the key that is meant; "" where a file sets it, or none is meant."""
    values = [text.partition("=")[2] for text in composed.overrides if key_of(text) == key]
    mark = "" if meant in composed.keys else "+"
    return f"{mark}{meant}={values[-1]}" if values and meant else ""


def _write_rule(error: Any) -> str:
    """The rule, without pydantic's class names."""
    text: str = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return "must be a section with keys" if error["type"] == "model_type" else text[0].lower() + text[1:]


def _list_literals(error: Any) -> list[str]:
    """The allowed values; those without a letter, such as separators, in quotes."""
    text = error["ctx"].get("expected") or error["ctx"]["expected_tags"]
    literals = ast.literal_eval(f"[{text.replace(' or ', ', ')}]")
    return [literal if any(map(str.isalnum, literal)) else repr(literal) for literal in literals]


def _dotted(location: tuple[Any, ...], values: Any, *, absent: bool) -> str:
    """The dotted key of a pydantic location, which also names members of unions; `absent`: its last key is missing."""
    parts = []
    for index, part in enumerate(location):
        inside = (isinstance(values, dict) and part in values) or (isinstance(values, list) and isinstance(part, int))
        if inside:
            values = values[part]
        if inside or (absent and index == len(location) - 1):
            parts.append(str(part))
    return ".".join(parts)


# --- the specification --------------------------------------------------------------------------------


def _keys_at(location: Sequence[Any], spec: Any) -> list[str]:
    """The keys of the specification at a location."""
    known = {name for model in list_models(walk_spec(location, spec)) for name in model.model_fields}
    return sorted(known.difference(() if location else RECORDS))


def walk_spec(location: Sequence[Any], spec: Any) -> Any:
    """The annotation at a location of the specification of an experiment."""
    shape = spec
    for part in location:
        if isinstance(shape, type) and issubclass(shape, pydantic.BaseModel):
            shape = shape.model_fields[part].annotation
        else:
            shape = _step_into(shape, part)
    return shape


def list_models(shape: Any) -> list[type[pydantic.BaseModel]]:
    """The models among the members of an annotation."""
    return [m for m in _members(shape) if isinstance(m, type) and issubclass(m, pydantic.BaseModel)]


def _members(shape: Any) -> list[Any]:
    origin = typing.get_origin(shape)
    if origin is typing.Annotated:
        return _members(typing.get_args(shape)[0])
    if origin in {typing.Union, types.UnionType}:
        return [m for arg in typing.get_args(shape) for m in _members(arg)]
    return [shape]


def _find_tagged(shape: Any, part: Any) -> Any:
    """The member of a discriminated union with the tag `part`; None if no member has it."""
    members = typing.get_args(typing.get_args(shape)[0] if typing.get_origin(shape) is typing.Annotated else shape)
    parts = [typing.get_args(m) for m in members if typing.get_origin(m) is typing.Annotated]
    return next((p[0] for p in parts if any(isinstance(o, Tag) and o.tag == part for o in p[1:])), None)


def _step_into(shape: Any, part: Any) -> Any:
    tagged = _find_tagged(shape, part)
    if tagged is not None:
        return tagged
    candidates: Iterator[Any] = iter(_members(shape))
    for member in candidates:
        if typing.get_origin(member) in {dict, list}:
            return typing.get_args(member)[-1]
        fields = getattr(member, "model_fields", {})
        by = fields.get("by")
        if by is not None and part in typing.get_args(by.annotation):
            return member
        if part in fields:
            return fields[part].annotation
    return shape
