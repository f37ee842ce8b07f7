"""What a module imports, read from its source: the code that a run's identity must know."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from treadle.errors import TreadleError
from treadle.experiment.file_states import FileState, read_state
from treadle.experiment.modules import (
    TREADLE,
    find_file,
    find_module,
    forget_modules,
    is_own,
    is_own_package,
    list_below,
)

# Calls that load code by a name or a path that only a running program knows.
_DYNAMIC = {"__import__", "import_module", "exec", "run_path", "run_module", "spec_from_file_location", "exec_module"}


def import_graph(modules: Iterable[str]) -> set[str]:
    """The modules themselves and all that they import, at any depth: of the project's own code, and of Treadle's.

    Where a module of the project imports by a name that only a running program knows, every module of its package
    belongs to it.

    Raises:
        TreadleError: a module of the project is not Python, or imports what is found nowhere.
    """
    found: set[str] = set()
    open_modules = [parent for name in modules for parent in _with_parents(name) if is_own(parent)]
    while open_modules:
        name = open_modules.pop()
        if name not in found:
            found.add(name)
            open_modules += _list_own_imports(name)
    return found


@cache
def _list_own_imports(module: str) -> frozenset[str]:
    """What a module imports of own code, with the packages around it; a graph of hundreds of modules asks for each."""
    return frozenset(parent for below in _list_imports(module) for parent in _with_parents(below) if is_own(parent))


def _with_parents(name: str) -> Iterator[str]:
    """A module and the packages around it, which Python loads first; Treadle's outermost one does nothing then."""
    parts = name.split(".")
    first = 2 if parts[0] == TREADLE and len(parts) > 1 else 1
    yield from (".".join(parts[:size]) for size in range(first, len(parts) + 1))


class SourceFile(NamedTuple):
    """A module's file, and its state just before it was read."""

    file: Path
    state: FileState | None
    content: bytes


@cache
def read_source(module: str) -> SourceFile | None:
    """The file of a module; None where it has none."""
    found = find_module(module)
    if found is None or found.file is None:
        return None
    return SourceFile(found.file, read_state(found.file), found.file.read_bytes())


def forget_imports() -> None:
    """Read sources anew from now on, and find modules anew."""
    for cached in (read_source, parse, _list_imports, _list_own_imports):
        cached.cache_clear()
    forget_modules()


@cache
def parse(module: str) -> ast.Module | None:
    """The syntax of a module; None where it is compiled.

    Raises:
        TreadleError: it is not Python.
    """
    source = read_source(module)
    if source is None or source.file.suffix != ".py":
        return None
    try:
        return ast.parse(source.content)  # which heeds a declared encoding
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise TreadleError(
            f"{source.file}:{line}: {getattr(error, 'msg', error)}; the stages' code cannot be read"
        ) from error


@cache
def _list_imports(module: str) -> frozenset[str]:
    tree, file = parse(module), find_file(module)
    if tree is None or file is None:
        return frozenset()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    named = {name for node in walk_statements(tree) for name in _list_names(node, package)}
    if module.partition(".")[0] != TREADLE:
        _require_found(tree, package, file)
        named.update(name for node in ast.walk(tree) for name in _list_loaded(node, module, package))
    return frozenset(named)


def walk_statements(node: ast.AST) -> Iterator[ast.AST]:
    """The node and every statement below it (expressions hold no import and no body), outside `if TYPE_CHECKING:`."""
    yield node
    blocks = ("orelse",) if _is_for_types(node) else ("body", "orelse", "finalbody", "handlers", "cases")
    for name in blocks:
        block = getattr(node, name, None)
        for statement in list(block) if isinstance(block, list) else ():
            yield from walk_statements(statement)


def _is_for_types(node: ast.AST) -> bool:
    test = node.test if isinstance(node, ast.If) else None
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else None
    return name == "TYPE_CHECKING"


def _list_names(node: ast.AST, package: str) -> Iterator[str]:
    """The modules that an import statement may load; the names that it takes may be modules, too."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _resolve_base(node, package)
        yield base
        for alias in node.names:
            offered = _list_offered(base) if alias.name == "*" else [alias.name]
            yield from (f"{base}.{name}" for name in offered)


def _resolve_base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _list_offered(module: str) -> list[str]:
    """What `from module import *` takes: `__all__` may name modules."""
    tree = parse(module) if is_own(module) else None
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant) and isinstance(c.value, str)]
    return []


def _list_loaded(node: ast.AST, module: str, package: str) -> Iterator[str]:
    """The modules that a call may load by name: the one that it writes out, else all of the package."""
    called = node.func if isinstance(node, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if name not in _DYNAMIC or not isinstance(node, ast.Call):
        return
    first = node.args[0] if node.args else None
    if name in {"__import__", "import_module"} and isinstance(first, ast.Constant) and isinstance(first.value, str):
        level = len(first.value) - len(first.value.lstrip("."))
        yield _resolve_base(ast.ImportFrom(first.value[level:] or None, [], level), package)
    else:
        yield from list_below(module.partition(".")[0])


def _require_found(tree: ast.Module, package: str, file: Path) -> None:
    """Refuse what is imported unconditionally and found nowhere, such as from a folder added to the path at run time.

    Raises:
        TreadleError: there is such an import.
    """
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bases = [a.name for a in node.names] if isinstance(node, ast.Import) else [_resolve_base(node, package)]
            for base in bases:
                lost = _find_lost(base)
                if lost is not None:
                    raise TreadleError(
                        f"{file}:{node.lineno}: imports {lost!r}, which is found neither in the project nor installed, "
                        "so edits of it would go unnoticed; put a package of your own into the project's folder or "
                        "its src/, or add it to PYTHONPATH"
                    )


def _find_lost(name: str) -> str | None:
    """The first part of a dotted name that is not found; libraries may create modules at run time."""
    top = name.partition(".")[0]
    if find_module(top) is None:
        return top
    return next((part for part in _with_parents(name) if is_own_package(top) and find_module(part) is None), None)
