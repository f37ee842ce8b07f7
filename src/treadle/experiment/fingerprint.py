"""Fingerprints of code and of data: what, besides the configuration, can change a result."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from treadle.disk import read_record, write_json
from treadle.errors import TreadleError
from treadle.experiment.file_states import read_state
from treadle.experiment.imports import SourceFile, forget_imports, import_graph, parse, read_source, walk_statements
from treadle.experiment.modules import TREADLE, find_module, is_own

LENGTH = 16  # hexadecimal digits: 64 bits


def digest(text: str) -> str:
    """A short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


# --- code ---------------------------------------------------------------------------------------------


def fingerprint_code(modules: Iterable[str]) -> str:
    """Hash of the sources of these modules and of all that they import: see `fingerprint_modules`."""
    return _fingerprint(frozenset(modules))


@cache
def _fingerprint(modules: frozenset[str]) -> str:
    return digest(json.dumps(fingerprint_modules(modules), sort_keys=True))


def fingerprint_modules(modules: Iterable[str]) -> dict[str, str]:
    """A hash for each of these modules and of all that they import, comments and docstrings aside.

    The project's own code and Treadle's are followed by their sources, wherever they lie. An installed library among
    the given modules counts by its version. What Treadle itself requires, and libraries that own code imports, are
    the environment, which a run records.

    Raises:
        TreadleError: one of the given modules has no file, or a source cannot be read.
    """
    named = set(modules)
    libraries = {name.partition(".")[0] for name in named if not is_own(name)}
    own = {name: _hash_module(name) for name in import_graph(named)}
    return own | {name: found for name in libraries if (found := _identify_library(name)) is not None}


def list_sources(modules: Iterable[str]) -> dict[str, SourceFile]:
    """Each module that `fingerprint_code` reads, as it was just before."""
    return {name: source for name in import_graph(set(modules)) if (source := read_source(name)) is not None}


def forget_code() -> None:
    """Read sources anew from now on."""
    _fingerprint.cache_clear()
    _hash_module.cache_clear()
    forget_imports()


def fingerprint_again(name: str, known: str) -> str | None:
    """What `fingerprint_modules` returns for a module now, wherever it is; None where it is not found.

    Args:
        name: of a module, or of an installed package.
        known: the fingerprint of before.
    """
    if " " in known:  # of a package: its name and version
        return _identify_library(name) if find_module(name) is not None else None
    found = find_module(name)
    return None if found is None or found.file is None else _hash_module(name)


@cache
def _hash_module(module: str) -> str:
    tree = parse(module)
    if tree is None:
        found = find_module(module)
        assert found is not None
        assert found.file is not None, "only what has a file is own code"
        return hash_content(found.file)
    for block in _list_blocks(tree):
        if _begins_with_docstring(block):
            del block[0]
    options = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return digest(ast.dump(tree, **options).replace(", type_params=[]", ""))  # a field that Python 3.12 added


def _list_blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """The body of the module, of each class and of each function."""
    for node in walk_statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.body


def _begins_with_docstring(block: list[ast.stmt]) -> bool:
    first = block[0] if block else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


@cache
def _identify_library(package: str) -> str | None:
    """Name and version of an installed package; None where it belongs to the environment.

    Raises:
        TreadleError: the package is not installed either, so that nothing names its content.
    """
    required = {_simplify(requirement) for requirement in metadata.requires(TREADLE) or ()}
    if package in sys.stdlib_module_names:
        return None
    if _simplify(package) in required:  # asked first: which distribution a package belongs to takes long to find
        return None
    name = next(iter(metadata.packages_distributions().get(package, ())), None)
    if name is None:
        raise TreadleError(
            f"the code of {package!r} cannot be part of a run's identity: it has no source file, and belongs to no "
            "installed library; keep it in the project as Python files, or install it"
        )
    if _simplify(name) in required:
        return None
    found = metadata.distribution(name)
    version = f"{name} {found.version.partition('+')[0]}"
    return f"{version} {_hash_record(found)}" if found.read_text("direct_url.json") else version


def _hash_record(distribution: metadata.Distribution) -> str:
    """The sources of a package that came from a folder or a repository, where the version identifies little."""
    hashes = {str(f): f.hash.value for f in distribution.files or () if f.suffix == ".py" and f.hash is not None}
    return digest(json.dumps(hashes, sort_keys=True))


def _simplify(requirement: str) -> str:
    """The name of a distribution, in the spelling in which names are compared."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


# --- data ---------------------------------------------------------------------------------------------


def fingerprint_files(files: Iterable[Path], *, root: Path, memory: Path, remember: bool = True) -> str:
    """Hash of the contents of files.

    A content is hashed once: `memory`, a JSON file, keeps the hash with the state of the file. It is not written
    unless `remember`; a damaged one is made anew.
    """
    known = _recall(memory)
    result, seen = {}, {}
    for file in files:
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
        state = list(read_state(file) or ())  # before the content: what changes in between is hashed again
        entry = known.get(name, [])
        result[name] = str(entry[-1]) if entry[:-1] == state else hash_content(file)
        seen[name] = [*state, result[name]]
    if remember and {**known, **seen} != known:
        memory.parent.mkdir(parents=True, exist_ok=True)
        kept = {**known, **seen}
        write_json(memory, {"files": kept, "digest": digest(json.dumps(kept))})
    return digest(json.dumps(result, sort_keys=True))


def _recall(memory: Path) -> dict[str, list[object]]:
    """The hashes that are remembered: all of them, or none if a byte of the file is not as it was written."""
    record = read_record(memory) or {}
    files: dict[str, list[object]] = record.get("files", {})
    return files if record.get("digest") == digest(json.dumps(files)) else {}


def hash_content(file: Path) -> str:
    """Hash of what a file holds."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:LENGTH]
