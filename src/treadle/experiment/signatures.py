"""What a `_target_` takes, read from its source without importing it (by griffe)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import griffe


@dataclass(frozen=True)
class Parameter:
    """One argument of a target."""

    name: str
    required: bool
    annotation: str  # as written; empty where there is none


@dataclass(frozen=True)
class Signature:
    """The arguments of a target; `open` when it takes any keyword."""

    parameters: dict[str, Parameter]
    open: bool


class UnknownTargetError(LookupError):
    """The dotted path leads nowhere; `options` are the names that do exist at its last sound step."""

    def __init__(self, path: str, missing: str, options: list[str]) -> None:
        super().__init__(f"{path!r} does not exist: no {missing!r}")
        self.missing = missing
        self.options = options


def read_signature(path: str) -> Signature:
    """The signature of a class or a function by dotted path.

    Raises:
        UnknownTargetError: no such module or name.
    """
    found = _find(path)
    if isinstance(found, griffe.Class):
        return _class_signature(found)
    if isinstance(found, griffe.Function):
        return _signature(found)
    return Signature({}, open=True)  # a plain name bound at run time: checked when it is built


@cache
def _find(path: str) -> griffe.Object:
    parts = path.split(".")
    for size in range(len(parts) - 1, 0, -1):
        file = _module_file(".".join(parts[:size]))
        if file is not None:
            return _descend(_visit(".".join(parts[:size]), file), parts[size:], path)
    raise UnknownTargetError(path, parts[0], [])


def _descend(node: griffe.Object, names: list[str], path: str) -> griffe.Object:
    for name in names:
        member = node.members.get(name)
        if member is None:
            public = [m for m, v in node.members.items() if not m.startswith("_") and _is_callable(v)]
            raise UnknownTargetError(path, name, public)
        node = _find(member.target_path) if isinstance(member, griffe.Alias) else member
    return node


def _is_callable(member: griffe.Object | griffe.Alias) -> bool:
    return isinstance(member, griffe.Class | griffe.Function)


@cache
def _visit(module: str, file: Path) -> griffe.Module:
    source = file.read_text(encoding="utf-8")
    return griffe.visit(module, filepath=file, code=source)


@cache
def _module_file(module: str) -> Path | None:
    relative = Path(*module.split("."))
    for folder in sys.path:
        base = Path(folder) / relative
        for file in (base / "__init__.py", base.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _class_signature(cls: griffe.Class) -> Signature:
    init = cls.members.get("__init__")
    if isinstance(init, griffe.Function):
        return _signature(init)
    if "dataclass" in " ".join(str(d.value) for d in cls.decorators):
        typed = {n: m for n, m in cls.members.items() if isinstance(m, griffe.Attribute) and m.annotation is not None}
        fields = {n: Parameter(n, m.value is None, str(m.annotation)) for n, m in typed.items()}
        return Signature(fields, open=False)
    for base in cls.bases:
        try:
            found = _find(base.canonical_path if isinstance(base, griffe.Expr) else str(base))
        except UnknownTargetError:
            continue
        if isinstance(found, griffe.Class):
            return _class_signature(found)
    return Signature({}, open=True)


def _signature(function: griffe.Function) -> Signature:
    parameters = {}
    is_open = False
    for parameter in function.parameters:
        if parameter.kind is griffe.ParameterKind.var_keyword:
            is_open = True
        elif parameter.name != "self" and parameter.kind is not griffe.ParameterKind.var_positional:
            annotation = str(parameter.annotation or "")
            parameters[parameter.name] = Parameter(parameter.name, parameter.required, annotation)
    return Signature(parameters, is_open)
