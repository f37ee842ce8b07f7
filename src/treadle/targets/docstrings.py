"""The docstring of a component, with the description of each argument, read from the source by griffe."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import griffe

from treadle.disk import read_text
from treadle.targets.signatures import find_target


@dataclass(frozen=True)
class Words:
    """The description of a class or a function."""

    summary: str = ""  # the first paragraph, on one line
    arguments: dict[str, str] = field(default_factory=dict)


@cache
def read_words(path: str) -> Words:
    """The docstring of a class or a function by dotted path; empty if only an import could resolve it.

    Raises:
        UnknownTargetError: no such module or name.
        SyntaxError: the source cannot be parsed.
    """
    found = find_target(path)
    if found is None:
        return Words()
    docstring = _read(found)
    init = found.members.get("__init__")
    inner = init.docstring if isinstance(init, griffe.Function) else None
    return Words(_summarize(docstring), {**_read_arguments(docstring), **_read_arguments(inner)})


def _summarize(docstring: griffe.Docstring | None) -> str:
    return " ".join(docstring.value.split("\n\n", 1)[0].split()) if docstring is not None else ""


def _read_arguments(docstring: griffe.Docstring | None) -> dict[str, str]:
    if docstring is None:
        return {}
    sections = docstring.parse("google", warnings=False)
    items = [s.value for s in sections if s.kind is griffe.DocstringSectionKind.parameters]
    return {item.name: " ".join(item.description.split()) for part in items for item in part}


def _read(found: griffe.Object) -> griffe.Docstring | None:
    """The docstring, also one that the module assigns later (`AdamW.__doc__ = …`, as torch does)."""
    if found.docstring is not None or not isinstance(found.filepath, Path):
        return found.docstring
    expression = _find_assigned(found.filepath).get(found.name)
    if expression is None:
        return None
    return griffe.Docstring(inspect.cleandoc("".join(_evaluate(expression, found.module))), parent=found)


@cache
def _find_assigned(file: Path) -> dict[str, ast.expr]:
    """The expressions that are assigned to `__doc__`, by the name of the class."""
    assigned = [node for node in ast.parse(read_text(file)).body if isinstance(node, ast.Assign)]
    return {
        target.value.id: node.value
        for node in assigned
        for target in node.targets
        if isinstance(target, ast.Attribute) and target.attr == "__doc__" and isinstance(target.value, ast.Name)
    }


def _evaluate(node: ast.expr, module: griffe.Module) -> Iterator[str]:
    """The constant parts of a text that is concatenated from several."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.BinOp):
        yield from _evaluate(node.left, module)
        yield from _evaluate(node.right, module)
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from _evaluate(value.value if isinstance(value, ast.FormattedValue) else value, module)
    elif isinstance(node, ast.Name):
        yield _read_constant(node.id, module)


def _read_constant(name: str, module: griffe.Module) -> str:
    try:
        found = find_target(module.resolve(name))
        return str(ast.literal_eval(str(found.value))) if isinstance(found, griffe.Attribute) else ""
    except (LookupError, griffe.NameResolutionError, SyntaxError, ValueError):
        return ""
