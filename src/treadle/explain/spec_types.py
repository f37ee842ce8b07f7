"""The annotations of `experiment.spec` as the `Type` of `targets.annotations`: one model of types for both."""

from __future__ import annotations

import types
import typing
from dataclasses import replace
from typing import Any

import pydantic
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from treadle.experiment import spec
from treadle.experiment.durations import FORM
from treadle.targets.annotations import ANY, LIMITS, Type, narrow

# What validators of the specification accept, as far as a pattern can express it.
_PATTERNS: dict[Any, str] = {
    spec.check_duration: f"^{FORM.pattern}$",
    spec.check_moment: r"^\d{4}-?((0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])|W\d\d(-?[1-7])?)([T ].+)?$",
}


def join_metadata(field: FieldInfo) -> Any:
    """The annotation of a key with what pydantic keeps apart from it."""
    return typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def read_type(annotation: Any) -> Type:  # noqa: PLR0911 - one a kind of annotation
    """The type that an annotation allows; that of a section is its class, by name."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _limit(read_type(arguments[0]), arguments[1:])
    if origin is typing.Literal:
        return Type("literal", options=arguments)
    if origin in {typing.Union, types.UnionType}:
        return Type("union", members=tuple(map(read_type, arguments)))
    if origin is list:
        return Type("list", members=(read_type(arguments[0]),))
    if origin is dict:
        return Type("mapping", members=(read_type(arguments[1]),))
    if annotation in {int, float, bool, str}:
        return Type("scalar", annotation.__name__)
    if annotation is types.NoneType:
        return Type("none")
    return Type("class", annotation.__name__) if is_section(annotation) else ANY


def is_section(annotation: Any) -> bool:
    """Whether it is one of the models of the specification."""
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def is_target(annotation: Any, metadata: typing.Iterable[Any] = ()) -> bool:
    """Whether a `_target_` node is asked for."""
    if typing.get_origin(annotation) is typing.Annotated:
        metadata = typing.get_args(annotation)[1:]
    return spec.check_target in _list_validators(metadata)


def has_target(annotation: Any) -> bool:
    """Whether a `_target_` node is asked for, or is one of the alternatives."""
    return is_target(annotation) or any(map(is_target, list_alternatives(annotation)))


def list_alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; none where it is no union."""
    bare = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    return typing.get_args(bare) if typing.get_origin(bare) in {typing.Union, types.UnionType} else ()


def _list_validators(metadata: typing.Iterable[Any]) -> list[Any]:
    """The functions that validate a value."""
    return [item.func for item in metadata if isinstance(item, AfterValidator)]


def _limit(kind: Type, metadata: typing.Iterable[Any]) -> Type:
    items = list(metadata)
    flat = [*items, *(inner for item in items if isinstance(item, FieldInfo) for inner in item.metadata)]
    limits = {name: getattr(item, name) for item in flat for name in LIMITS if getattr(item, name, None) is not None}
    declared = [str(item.pattern) for item in flat if getattr(item, "pattern", None)]
    patterns = [*declared, *(_PATTERNS[f] for f in _list_validators(items) if f in _PATTERNS)]
    return replace(narrow(kind, limits), pattern=patterns[0]) if patterns else narrow(kind, limits)
