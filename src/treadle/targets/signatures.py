"""The signature of a `_target_`, read from its source without importing it (by griffe)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import griffe

from treadle.disk import read_text
from treadle.experiment.libraries import CONSTANTS
from treadle.experiment.modules import find_file, is_compiled
from treadle.targets.annotations import ANY, Kind, Type, narrow, parse_annotation
from treadle.targets.rules import FOREIGN, Rule, parse_rules

_ENUMS = {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}
_TYPING = {"typing", "typing_extensions", "collections.abc", "builtins"}


@dataclass(frozen=True)
class Parameter:
    """One argument of a target."""

    name: str
    required: bool
    type: Type
    default: str = ""  # as written in the source; empty if there is none


@dataclass(frozen=True)
class Signature:
    """The arguments of a target."""

    parameters: dict[str, Parameter]
    open: bool  # takes any keyword
    known: bool = True  # False: only an import could resolve it
    rules: list[Rule] = field(default_factory=list)


UNKNOWN = Signature({}, open=True, known=False)


class UnknownTargetError(LookupError):
    """The dotted path does not exist; `options` are the names that exist in its last valid part."""

    def __init__(self, path: str, missing: str, options: list[str]) -> None:
        super().__init__(f"{path!r} does not exist: no {missing!r}")
        self.missing = missing
        self.options = options


class OpaqueError(LookupError):
    """The name is created at run time, or its module has no source: only an import could resolve it."""


@cache
def read_signature(path: str) -> Signature:
    """The signature of a class or a function by dotted path.

    Raises:
        UnknownTargetError: no such module or name.
        SyntaxError: the source cannot be parsed.
    """
    found = find_target(path)
    if isinstance(found, griffe.Class):
        signature = _class_signature(found)
    elif isinstance(found, griffe.Function):
        signature = _signature(found)
    else:
        return UNKNOWN  # created at run time
    limits = {
        name: limit for prefix, limits in FOREIGN.items() if path.startswith(prefix) for name, limit in limits.items()
    }
    parameters = {
        name: replace(p, type=narrow(p.type, limits.get(name, {}))) for name, p in signature.parameters.items()
    }
    return replace(signature, parameters=parameters)


def forget_signatures() -> None:
    """Read sources anew from now on."""
    for cached in (read_signature, find, _visit):
        cached.cache_clear()


def find_target(path: str) -> griffe.Object | None:
    """The class or function at a dotted path; None if only an import could resolve it.

    Raises:
        UnknownTargetError: no such module or name.
        SyntaxError: the source cannot be parsed.
    """
    try:
        return _see_through(find(path))
    except OpaqueError:
        return None


def is_class(path: str) -> bool:
    """Whether the source says so; without one it does not.

    Raises:
        UnknownTargetError: no such module or name.
        SyntaxError: the source cannot be parsed.
    """
    return isinstance(find_target(path), griffe.Class)


def _see_through(found: griffe.Object) -> griffe.Object:
    """`Other = Net` names the class itself."""
    if isinstance(found, griffe.Attribute) and str(found.value).replace(".", "_").isidentifier():
        try:
            return find(found.resolve(str(found.value)))
        except (LookupError, griffe.NameResolutionError):
            return found
    return found


# --- from a dotted path to a source -------------------------------------------------------------------


@cache
def find(path: str) -> griffe.Object:
    """The class, function or attribute at a dotted path, through re-exports.

    Raises:
        UnknownTargetError: it does not exist.
        OpaqueError: only an import could resolve it.
    """
    return _follow(path, ())


def _follow(path: str, trail: tuple[str, ...]) -> griffe.Object:
    """`trail` holds the paths that were followed: modules may import each other in a cycle."""
    if path in trail:
        raise OpaqueError(path)
    parts = path.split(".")
    for size in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:size])
        file = find_file(module)
        if file is not None:
            return _descend(_visit(module, file), parts[size:], (*trail, path))
        if is_compiled(module):
            raise OpaqueError(path)
    raise UnknownTargetError(path, parts[0], [])


def _descend(node: griffe.Object, names: list[str], trail: tuple[str, ...]) -> griffe.Object:
    for name in names:
        member = node.members.get(name)
        if member is None:
            member = _find_inherited(node, name, trail)
        if member is None:
            public = [m for m, v in node.members.items() if not m.startswith("_") and _is_callable(v)]
            raise UnknownTargetError(trail[-1], name, public)
        node = _follow(member.target_path, trail) if isinstance(member, griffe.Alias) else member
    return node


def _find_inherited(node: griffe.Object, name: str, trail: tuple[str, ...]) -> griffe.Object | None:
    """A name that the node has from elsewhere: a star import of a module, a base of a class."""
    if isinstance(node, griffe.Class):
        found = (base.members.get(name) for base in list_bases(node))
        return next((m for m in found if isinstance(m, griffe.Object)), None)
    for member in node.members.values():
        if isinstance(member, griffe.Alias) and member.wildcard:
            try:
                return _follow(f"{member.wildcard}.{name}", trail)
            except LookupError:
                continue
    if "__getattr__" in node.members:
        raise OpaqueError(f"{node.path}.{name}")
    return None


def _is_callable(member: griffe.Object | griffe.Alias) -> bool:
    return isinstance(member, griffe.Class | griffe.Function)


@cache
def _visit(module: str, file: Path) -> griffe.Module:
    package, _, name = module.rpartition(".")
    source = read_text(file)
    return griffe.visit(name, filepath=file, code=source, parent=_make_package(package), docstring_parser="google")


def list_members(module: str) -> dict[str, griffe.Object | griffe.Alias]:
    """The names that a module defines or imports; empty without a source, or if it is not Python."""
    file = find_file(module)
    try:
        return _visit(module, file).members if file is not None else {}
    except SyntaxError:
        return {}


def _make_package(path: str) -> griffe.Module | None:
    """The packages around a module, empty: its relative imports are resolved by their names."""
    if not path:
        return None
    parent, _, name = path.rpartition(".")
    return griffe.Module(name, filepath=find_file(path), parent=_make_package(parent))


# --- signatures ---------------------------------------------------------------------------------------


def _class_signature(cls: griffe.Class) -> Signature:
    for owner in (cls, *list_bases(cls)):
        init = owner.members.get("__init__")
        if isinstance(init, griffe.Function):
            return _signature(init, owner=cls)
        if any("dataclass" in str(d.value) for d in owner.decorators):
            return _fields_signature(owner)
        if "NamedTuple" in {str(base).rpartition(".")[2] for base in owner.bases}:
            return _fields_signature(owner)
        if "__new__" in owner.members:
            return UNKNOWN
    whole = all(_find_base(base) is not None for owner in (cls, *list_bases(cls)) for base in owner.bases)
    return Signature({}, open=False, rules=_read_rules(cls)) if whole else UNKNOWN


def list_bases(cls: griffe.Class) -> Iterator[griffe.Class]:
    """The bases that have a source, nearest first."""
    for base in cls.bases:
        found = _find_base(base)
        if found is not None:
            yield found
            yield from list_bases(found)


def _find_base(base: str | griffe.Expr) -> griffe.Class | None:
    try:
        found = find(base.canonical_path if isinstance(base, griffe.Expr) else base)
    except LookupError:
        return None
    return found if isinstance(found, griffe.Class) else None


def _fields_signature(cls: griffe.Class) -> Signature:
    """Of a dataclass or a named tuple: its annotated attributes but for a `ClassVar`, those of its bases first."""
    parameters: dict[str, Parameter] = {}
    for owner in (*reversed(list(list_bases(cls))), cls):
        for name, member in owner.members.items():
            if not isinstance(member, griffe.Attribute) or "instance-attribute" not in member.labels:
                continue
            if member.annotation is not None:
                kind = _read_type(str(member.annotation), owner)
                default = "" if member.value is None else str(member.value)
                parameters[name] = Parameter(name, member.value is None, kind, default)
    return Signature(parameters, open=False, rules=_read_rules(cls))


def _signature(function: griffe.Function, owner: griffe.Class | None = None) -> Signature:
    parameters = {}
    is_open = False
    for parameter in function.parameters:
        if parameter.kind is griffe.ParameterKind.var_keyword:
            is_open = True
        elif parameter.name != "self" and parameter.kind is not griffe.ParameterKind.var_positional:
            kind = _read_type(str(parameter.annotation or ""), function)
            default = "" if parameter.required else str(parameter.default)
            parameters[parameter.name] = Parameter(parameter.name, parameter.required, kind, default)
    return Signature(parameters, is_open, rules=_read_rules(owner) if owner is not None else [])


def _read_rules(cls: griffe.Class) -> list[Rule]:
    rules = cls.members.get("RULES")
    return parse_rules(str(rules.value)) if isinstance(rules, griffe.Attribute) and rules.value is not None else []


@cache
def read_constant(path: str, name: str) -> Any:
    """A constant of a class at a dotted path, or of its nearest base, that is plain in the source; None without one.

    Those of another library's class stand in `experiment/libraries.py`.
    """
    if path in CONSTANTS:
        return CONSTANTS[path].get(name)
    try:
        found = find_target(path)
    except (UnknownTargetError, SyntaxError):  # reported by check/targets.py
        return None
    for owner in (found, *list_bases(found)) if isinstance(found, griffe.Class) else ():
        member = owner.members.get(name)
        if isinstance(member, griffe.Attribute) and member.value is not None:
            try:
                return ast.literal_eval(str(member.value))
            except ValueError:
                return None
    return None


def takes_argument(path: str, name: str) -> bool:
    """Whether a class or function declares an argument of that name."""
    try:
        return name in read_signature(path).parameters
    except (UnknownTargetError, SyntaxError):  # reported by check/targets.py
        return False


# --- what names stand for -----------------------------------------------------------------------------


def _read_type(text: str, scope: griffe.Object) -> Type:
    def look_up(name: str) -> tuple[Kind, Any]:
        return _look_up(name, scope)

    return parse_annotation(text, look_up) if text else ANY


def _look_up(name: str, scope: griffe.Object) -> tuple[Kind, Any]:
    try:
        path = scope.resolve(name)
        found = find(path)
    except (LookupError, griffe.NameResolutionError, SyntaxError):
        return "unknown", None
    if isinstance(found, griffe.Class):
        bases = {str(base).rpartition(".")[2] for base in found.bases}
        if bases & _ENUMS:
            values = [
                m.value for m in found.members.values() if isinstance(m, griffe.Attribute) and m.value is not None
            ]
            return "choices", [ast.literal_eval(str(value)) for value in values]
        is_open = "Protocol" in bases or found.path.rpartition(".")[0] in _TYPING
        return ("unknown", None) if is_open else ("class", found.path)
    if isinstance(found, griffe.Attribute) and found.value is not None:
        text = str(found.value)
        return ("unknown", None) if text.startswith(("TypeVar", "ParamSpec")) else ("alias", text)
    return "unknown", None
