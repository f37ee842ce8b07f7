"""The classes that a class derives from, by the sources, without importing it."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import griffe

from treadle.targets.signatures import find_target, list_bases


@cache
def list_ancestors(path: str) -> frozenset[str]:
    """The names of a class and of all classes that it derives from; empty for what is no class, or has no source.

    The name alone: a library may offer a class under several paths, and two libraries the same class.
    """
    try:
        found = find_target(path)
    except (LookupError, SyntaxError):  # reported by check/targets.py
        return frozenset()
    if not isinstance(found, griffe.Class):
        return frozenset()
    classes = (found, *list_bases(found))
    bases = {str(base).rpartition(".")[2] for cls in classes for base in cls.bases}
    return frozenset({cls.name for cls in classes} | bases)


def overrides(path: str, method: str, *, packages: Collection[str]) -> bool:
    """Whether a class, or one that it derives from outside `packages`, defines a method."""
    try:
        found = find_target(path)
    except (LookupError, SyntaxError):  # reported by check/targets.py
        return False
    classes = (found, *list_bases(found)) if isinstance(found, griffe.Class) else ()
    return any(method in cls.members for cls in classes if cls.path.partition(".")[0] not in packages)


def derives_from(path: str, name: str) -> bool:
    """Whether a class is, or derives from, one of that name, as far as sources tell."""
    return name in list_ancestors(path)
