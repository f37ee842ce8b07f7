"""Dotted keys (`schedule.optimizer.lr`, `tracker.tags.0`) of nested mappings and lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

ABSENT: Final = object()  # in place of a value: there is no such key


def join(section: str, name: object) -> str:
    """The key of `name` in a section; the root section is empty."""
    return f"{section}.{name}" if section else str(name)


def get_section(key: str) -> str:
    """The key of the section that a key is in; empty at the root."""
    return key.rpartition(".")[0]


def get_name(key: str) -> str:
    """The last part of a key."""
    return key.rpartition(".")[2]


def climb(key: str) -> Iterator[str]:
    """The key and the sections around it, from the inside out.

    >>> list(climb("tracker.tags.0"))
    ['tracker.tags.0', 'tracker.tags', 'tracker']
    """
    while key:
        yield key
        key = get_section(key)


def is_within(key: str, section: str) -> bool:
    """Whether a key is the section itself, or below it."""
    return key == section or key.startswith(f"{section}.")


def walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every node below `node` with its key, parents first; `key` is that of `node` itself."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        inner = join(key, name)
        yield inner, value
        yield from walk(value, inner)


def find_targets(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping below `node` that has a `_target_`, with its key."""
    found = ((key, value) for key, value in walk(node) if isinstance(value, dict))
    return ((key, value) for key, value in found if isinstance(value.get("_target_"), str))


def list_leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its key; lists and empty mappings are values."""
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from list_leaves(value, join(key, name))
    else:
        yield key, node


def get(node: Any, key: str) -> Any:
    """The value at a key, ABSENT if there is none. Names may contain dots; the empty key is `node` itself.

    >>> get({"torch.optim": {"betas": [0.9, 0.99]}}, "torch.optim.betas.1")
    0.99
    """
    if not key:
        return node
    if isinstance(node, list):
        index, _, rest = key.partition(".")
        return get(node[int(index)], rest) if index.isdecimal() and int(index) < len(node) else ABSENT
    items = node.items() if isinstance(node, Mapping) else ()
    found = (get(value, key[len(str(name)) + 1 :]) for name, value in items if is_within(key, str(name)))
    return next((value for value in found if value is not ABSENT), ABSENT)
