"""Fingerprints of code and of data: what, besides the configuration, can change a result."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from treadle.schema import TreadleError

LENGTH = 16  # hexadecimal digits: 64 bits


def digest(text: str) -> str:
    """A short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


# --- code ---------------------------------------------------------------------------------------------


def fingerprint_code(modules: Iterable[str]) -> str:
    """Hash of the sources of these modules and of all that they import, comments and docstrings aside.

    Only Treadle's own package and those of the given modules are followed; an installed library is part of the
    environment, which a run records.
    """
    return digest(json.dumps({name: _hash_source(name) for name in sorted(import_graph(modules))}))


def import_graph(modules: Iterable[str]) -> set[str]:
    """The modules themselves and every module of their packages that they import, at any depth."""
    found: set[str] = set()
    open_modules = [name for name in modules if _find_source(name) is not None]
    packages = {"treadle", *(name.split(".", 1)[0] for name in open_modules)}
    while open_modules:
        name = open_modules.pop()
        if name not in found:
            found.add(name)
            own = (m for m in _imports(name) if m.split(".", 1)[0] in packages and m not in found)
            open_modules += [m for m in own if _find_source(m) is not None]
    return found


@cache
def _find_source(module: str) -> Path | None:
    """The file of a module, outside of installed libraries (Treadle itself may be installed)."""
    package, *rest = module.split(".")
    folder = _find_package(package)
    if folder is None:
        return None
    for file in (os.path.join(folder, *rest, "__init__.py"), os.path.join(folder, *rest) + ".py"):  # noqa: PTH118
        if os.path.isfile(file):  # noqa: PTH113 - many names are asked for, and pathlib is slow
            return Path(file)
    return None


@cache
def _find_package(name: str) -> str | None:
    for place in sys.path:
        folder = Path(place) / name
        if (folder / "__init__.py").is_file() and ("site-packages" not in place or name == "treadle"):
            return str(folder)
    return None


@cache
def _parse(module: str) -> ast.Module:
    file = _find_source(module)
    assert file is not None
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise TreadleError(f"{file}:{error.lineno}: {error.msg}; the stages' code cannot be read") from error


@cache
def _hash_source(module: str) -> str:
    tree = _parse(module)
    for block in _list_blocks(tree):
        if _begins_with_docstring(block):
            del block[0]
    options = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return digest(ast.dump(tree, **options).replace(", type_params=[]", ""))  # a field that Python 3.12 added


def _list_blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The body of the module, of each class and of each function."""
    for statement in _walk_statements(node):
        if isinstance(statement, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.body


def _begins_with_docstring(block: list[ast.stmt]) -> bool:
    first = block[0] if block else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


@cache
def _imports(module: str) -> frozenset[str]:
    file = _find_source(module)
    assert file is not None
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return frozenset(name for node in _walk_statements(_parse(module)) for name in _imported_names(node, package))


def _walk_statements(node: ast.AST) -> Iterator[ast.AST]:
    """The node and every statement below it (expressions hold no imports), outside of `if TYPE_CHECKING:`."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        block = getattr(node, name, None)
        for statement in list(block) if isinstance(block, list) else ():
            yield from _walk_statements(statement)


def _imported_names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, *([base] if base else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


# --- data ---------------------------------------------------------------------------------------------


def fingerprint_files(files: Iterable[Path], *, root: Path, memory: Path, remember: bool = True) -> str:
    """Hash of the contents of files.

    A content is hashed once: `memory`, a JSON file, keeps the hash with size and time of change. It is not written
    unless `remember`.
    """
    known: dict[str, list[object]] = json.loads(memory.read_text()) if memory.is_file() else {}
    result, seen = {}, {}
    for file in files:
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
        stat = file.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        entry = known.get(name, [])
        result[name] = str(entry[-1]) if entry[:-1] == state else _hash_content(file)
        seen[name] = [*state, result[name]]
    if remember and {**known, **seen} != known:
        memory.parent.mkdir(parents=True, exist_ok=True)
        replacement = memory.with_suffix(f".{os.getpid()}.tmp")  # another process may be at the same work
        replacement.write_text(json.dumps({**known, **seen}, indent=1))
        replacement.replace(memory)
    return digest(json.dumps(result, sort_keys=True))


def _hash_content(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:LENGTH]
