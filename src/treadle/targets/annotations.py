"""What an annotation allows, parsed from its text: types, choices, limits (`Annotated[float, Field(gt=0)]`)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from treadle.hints import NO_HINT, Fault, nearest, show

# What a name of the annotation stands for, where its source is read.
# `class`: its dotted path; `choices`: the members of an enumeration; `alias`: the annotation that it abbreviates.
Kind = Literal["class", "choices", "alias", "unknown"]
Lookup = Callable[[str], tuple[Kind, Any]]

LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("above", lambda value, limit: value > limit),
    "ge": ("at least", lambda value, limit: value >= limit),
    "lt": ("below", lambda value, limit: value < limit),
    "le": ("at most", lambda value, limit: value <= limit),
    "multiple_of": ("a multiple of", lambda value, limit: value % limit == 0),
    "min_length": ("not shorter than", lambda value, limit: len(value) >= limit),
    "max_length": ("not longer than", lambda value, limit: len(value) <= limit),
}
_LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "set", "Set", "frozenset", "tuple", "Tuple"}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
_DEPTH = 8  # of aliases


@dataclass(frozen=True)
class Type:
    """A type, as far as values of a configuration can have it."""

    kind: Literal["any", "none", "scalar", "literal", "list", "tuple", "mapping", "class", "union"]
    name: str = ""  # of a scalar or a class
    options: tuple[Any, ...] = ()  # of a literal
    members: tuple[Type, ...] = ()  # of a union, a list, a tuple, a mapping's values
    limits: dict[str, float] = field(default_factory=dict)
    pattern: str = ""  # that a text matches

    def __str__(self) -> str:
        if self.kind == "union":
            return " | ".join(map(str, self.members))
        if self.kind == "literal":
            return " | ".join(map(repr, self.options))
        if self.kind in {"list", "tuple", "mapping"}:
            return f"{self.kind}[{', '.join(map(str, self.members))}]" if self.members else self.kind
        return {"any": "anything", "none": "null"}.get(self.kind, self.name.rpartition(".")[2])


ANY = Type("any")
CALLABLE = Type("class", "Callable")  # in YAML: a `_target_`, which is called or left partial
_SIZED = {"scalar", "list", "mapping"}
_SCALARS: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "float": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
}


# --- from text ----------------------------------------------------------------------------------------


def parse_annotation(text: str, lookup: Lookup) -> Type:
    """Parse an annotation; what the source alone does not define allows any value."""
    return _parse_text(text, lookup, depth=0)


def _parse_text(text: str, lookup: Lookup, *, depth: int) -> Type:
    try:
        return _parse(ast.parse(text.strip(), mode="eval").body, lookup, depth=depth) if text.strip() else ANY
    except (SyntaxError, ValueError):
        return ANY


def _parse(node: ast.expr, lookup: Lookup, *, depth: int) -> Type:
    if depth > _DEPTH:
        return ANY
    if isinstance(node, ast.Constant):
        if node.value is None:
            return Type("none")
        return _parse_text(node.value, lookup, depth=depth + 1) if isinstance(node.value, str) else ANY
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Type("union", members=(_parse(node.left, lookup, depth=depth), _parse(node.right, lookup, depth=depth)))
    if isinstance(node, ast.Subscript):
        return _parse_subscript(node, lookup, depth=depth)
    return _parse_name(ast.unparse(node), lookup, depth=depth)


def _parse_name(name: str, lookup: Lookup, *, depth: int) -> Type:  # noqa: PLR0911 - one a kind of name
    last = name.rpartition(".")[2]
    if last in {"int", "float", "bool", "str"} and name in {last, f"builtins.{last}"}:
        return Type("scalar", last)
    if last in {"Any", "object"}:
        return ANY
    if last == "Callable":
        return CALLABLE
    if last in _LISTS:
        return Type("list")
    if last in _MAPPINGS:
        return Type("mapping")
    kind, found = lookup(name)
    if kind == "alias":
        return _parse_text(found, lookup, depth=depth + 1)
    if kind == "choices":
        return Type("literal", options=tuple(found))
    return Type("class", found) if kind == "class" else ANY


def _parse_subscript(node: ast.Subscript, lookup: Lookup, *, depth: int) -> Type:  # noqa: PLR0911 - one a form
    name = ast.unparse(node.value).rpartition(".")[2]
    items = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Callable":
        return CALLABLE
    if name == "Literal":
        return Type("literal", options=tuple(ast.literal_eval(item) for item in items))
    if name == "Annotated":
        inner = _parse(items[0], lookup, depth=depth)
        return replace(inner, limits={**inner.limits, **_read_limits(items[1:])})
    members = tuple(_parse(item, lookup, depth=depth) for item in items if not _is_ellipsis(item))
    if name == "Optional":
        return Type("union", members=(*members, Type("none")))
    if name == "Union":
        return Type("union", members=members)
    if name in {"tuple", "Tuple"} and not any(map(_is_ellipsis, items)):
        return Type("tuple", members=members)
    if name in _LISTS:
        return Type("list", members=members)
    if name in _MAPPINGS:
        return Type("mapping", members=members[-1:])
    if name in {"Final", "ClassVar", "Required", "NotRequired"}:
        return members[0]
    return ANY


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _read_limits(nodes: list[ast.expr]) -> dict[str, float]:
    """The limits of `Field(gt=0, lt=1)`."""
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    return {word.arg: ast.literal_eval(word.value) for call in calls for word in call.keywords if word.arg in LIMITS}


def narrow(kind: Type, limits: dict[str, float]) -> Type:
    """The type with these limits; those of a union hold for each member that has a size."""
    if kind.kind == "union":
        return Type("union", members=tuple(narrow(m, limits) if m.kind in _SIZED else m for m in kind.members))
    return replace(kind, limits={**kind.limits, **limits}) if limits else kind


# --- check --------------------------------------------------------------------------------------------


def find_fault(value: Any, wanted: Type) -> Fault | None:
    """What is wrong with a value; None if it fits, or if only building can show it."""
    if not _fits(value, wanted):
        options = list_options(wanted)
        hint = nearest(str(value), options) if options else NO_HINT
        return Fault(f"must be {wanted}, found {show(value)}", hint=hint)
    for kind in _members(wanted):
        if _fits(value, kind):
            broken = [
                f"{LIMITS[name][0]} {limit:g}" for name, limit in kind.limits.items() if not _holds(name, value, limit)
            ]
            if broken:
                return Fault(f"must be {' and '.join(broken)}, found {show(value)}")
    return None


def list_options(wanted: Type) -> list[str]:
    """The allowed values of a type that lists them, as strings."""
    return [str(option) for kind in _members(wanted) for option in kind.options]


def _members(wanted: Type) -> Iterator[Type]:
    if wanted.kind == "union":
        for member in wanted.members:
            yield from _members(member)
    else:
        yield wanted


def _fits(value: Any, wanted: Type) -> bool:  # noqa: PLR0911 - one a kind of type
    nested = isinstance(value, dict) and "_target_" in value
    match wanted.kind:
        case "any":
            return True
        case "union":
            return any(_fits(value, member) for member in wanted.members)
        case "none":
            return value is None
        case "scalar":
            return not nested and _SCALARS[wanted.name](value)
        case "literal":
            return any(value == option and type(value) is type(option) for option in wanted.options)
        case "list":
            return isinstance(value, list) and all(_fits(item, m) for item in value for m in wanted.members[:1])
        case "tuple":
            sized = isinstance(value, list) and len(value) == len(wanted.members)
            return sized and all(_fits(item, member) for item, member in zip(value, wanted.members, strict=True))
        case "mapping":
            return isinstance(value, dict) and all(_fits(v, m) for v in value.values() for m in wanted.members)
        case "class":
            return nested  # whether its class is right, only building shows


def _holds(name: str, value: Any, limit: float) -> bool:
    try:
        return LIMITS[name][1](value, limit)
    except TypeError:
        return True
