"""The file of a module, found by Python's own rules without importing it."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

TREADLE = "treadle"
_LIBRARIES = {"site-packages", "dist-packages"}
_PYTHON = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})


@dataclass(frozen=True)
class Module:
    """A module that Python would find."""

    file: Path | None  # its source, else what is compiled; None: built in, or a package without `__init__.py`
    folders: tuple[str, ...] = ()  # of a package: where its modules lie; several where nothing but folders makes it


@cache
def find_module(name: str) -> Module | None:
    """The module of that dotted name; None where Python would find none."""
    package, _, last = name.rpartition(".")
    spec = _find_below(package, last) if package else PathFinder.find_spec(name) or _ask_finders(name)
    return None if spec is None else Module(_choose_file(spec, last), tuple(spec.submodule_search_locations or ()))


def _find_below(package: str, last: str) -> ModuleSpec | None:
    """By the last part alone: with the whole name the finder would want the package imported."""
    parent = find_module(package)
    return PathFinder.find_spec(last, list(parent.folders)) if parent is not None and parent.folders else None


def _ask_finders(name: str) -> ModuleSpec | None:
    """Other ways to be found: built in, or by the hook of an editable installation."""
    specs = (finder.find_spec(name, None) for finder in sys.meta_path if finder is not PathFinder)
    return next((spec for spec in specs if spec is not None), None)


def _choose_file(spec: ModuleSpec, last: str) -> Path | None:
    """The source, also where its compiled form lies beside it and would be loaded."""
    if not spec.has_location or spec.origin is None:
        return None
    file = Path(spec.origin)
    source = file if file.suffix == ".py" else file.with_name(f"{last}.py")
    return next((path for path in (source, file) if path.is_file()), None)  # in an archive neither is


def find_file(name: str) -> Path | None:
    """The source of a module; of a package, its `__init__.py`."""
    module = find_module(name)
    return module.file if module is not None and module.file is not None and module.file.suffix == ".py" else None


def is_compiled(name: str) -> bool:
    """Whether there is such a module, and no source of it."""
    module = find_module(name)
    return module is not None and not module.folders and find_file(name) is None


def is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed library or to Python itself, and not to somebody's own work."""
    return not _LIBRARIES.isdisjoint(path.parts) or any(path.is_relative_to(folder) for folder in _PYTHON)


@cache
def is_own(name: str) -> bool:
    """Whether a module is the project's own, or Treadle's: code that has a file, and that no version names."""
    top = name.partition(".")[0]
    if top != TREADLE and not is_own_package(top):
        return False
    module = find_module(name)
    return module is not None and module.file is not None and (top == TREADLE or not is_installed(module.file))


@cache
def is_own_package(top: str) -> bool:
    """Whether an outermost package, or a module by itself, lies outside of what is installed, at least in part."""
    module = find_module(top)
    if module is None:
        return False
    places = [*map(Path, module.folders), *([module.file] if module.file is not None else [])]
    return not all(is_installed(place) for place in places)


def forget_modules() -> None:
    """Find modules anew from now on."""
    importlib.invalidate_caches()
    for cached in (find_module, is_own, is_own_package):
        cached.cache_clear()


def list_below(name: str) -> list[str]:
    """Every module of a package by its files, itself included; of a single module those beside it."""
    module = find_module(name)
    if module is None:
        return []
    if module.folders:
        files = [(Path(folder), file) for folder in module.folders for file in sorted(Path(folder).rglob("*.py"))]
        parts = [(name, *file.relative_to(folder).with_suffix("").parts) for folder, file in files]
    else:
        assert module.file is not None
        parts = [(file.stem,) for file in sorted(module.file.parent.glob("*.py"))]
    named = (part[:-1] if part[-1] == "__init__" else part for part in parts)
    return [".".join(part) for part in named if all(word.isidentifier() for word in part)]
