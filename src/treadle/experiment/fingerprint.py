"""Fingerprints of code and of data: what, besides the configuration, can change a result."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

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
            open_modules += [m for m in _imports(name) if m.split(".", 1)[0] in packages and m not in found]
    return found


@cache
def _find_source(module: str) -> Path | None:
    """The file of a module, outside of installed libraries (Treadle itself may be installed)."""
    relative = Path(*module.split("."))
    for folder in sys.path:
        if "site-packages" in folder and not module.startswith("treadle"):
            continue
        for file in (Path(folder) / relative / "__init__.py", (Path(folder) / relative).with_suffix(".py")):
            if file.is_file():
                return file
    return None


@cache
def _parse(module: str) -> ast.Module:
    file = _find_source(module)
    assert file is not None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return tree


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]


@cache
def _hash_source(module: str) -> str:
    options = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    tree = ast.dump(_parse(module), **options)
    return digest(tree.replace(", type_params=[]", ""))  # a field that Python 3.12 added


@cache
def _imports(module: str) -> frozenset[str]:
    file = _find_source(module)
    assert file is not None
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names = (name for node in _walk_runtime(_parse(module)) for name in _imported_names(node, package))
    return frozenset(name for name in names if _find_source(name) is not None)


def _walk_runtime(node: ast.AST) -> Iterator[ast.AST]:
    """Every node outside of `if TYPE_CHECKING:`, whose imports run nothing."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk_runtime(child)


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


def fingerprint_files(files: Iterable[Path], *, root: Path, memory: Path) -> str:
    """Hash of the contents of files.

    A content is hashed once: `memory`, a JSON file, keeps the hash with size and time of change.
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
    if {**known, **seen} != known:
        memory.parent.mkdir(parents=True, exist_ok=True)
        replacement = memory.with_suffix(".tmp")
        replacement.write_text(json.dumps({**known, **seen}, indent=1))
        replacement.replace(memory)
    return digest(json.dumps(result, sort_keys=True))


def _hash_content(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:LENGTH]
