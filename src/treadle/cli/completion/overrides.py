"""Candidates of Hydra's override grammar: groups, their options, dotted keys, and values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from treadle.cli.completion import schemas
from treadle.config.shipped import SHIPPED_CONF
from treadle.keys import get_name, list_leaves

_SIGNS = ("++", "+", "~")  # add or set, add, delete
_GLOBAL = "# @package _global_"  # such files set keys of other groups
_NOT_KEYS = {"defaults", "_partial_"}
_PLAIN = re.compile(r"[\w.+-]+")  # what needs no quotes


def list_overrides(word: str, *, root: Path) -> list[str]:
    """`group=option` (also after a comma), `group.key=` step by step, and `key=value` where values are known."""
    sign = next((sign for sign in _SIGNS if word.startswith(sign)), "")
    typed = word.removeprefix(sign)
    key, equals, value = typed.partition("=")
    if equals:
        chosen, comma, _ = value.rpartition(",")
        taken = set(chosen.split(","))
        found = [f"{key}={chosen}{comma}{one}" for one in _list_values(key, root) if one not in taken]
    else:
        found = _list_steps(typed, root, end="" if sign == "~" else "=")
    return [sign + one for one in dict.fromkeys(found) if one.startswith(typed)]


def list_keys(word: str, *, root: Path) -> list[str]:
    """Dotted keys, step by step."""
    found = dict.fromkeys(_list_steps(word, root, end="", groups=False))
    return [one for one in found if one.startswith(word)]


def list_columns(root: Path) -> list[str]:
    """The columns that the `features` compute: those of blocks, and derived ones."""
    nodes = [_load(path) for path in _find_groups(root).get("features", [])]
    derived = [name for node in nodes for name in _get(node, "derive") or {}]
    blocks = [(name, block) for node in nodes for name, block in (_get(node, "blocks") or {}).items()]
    columns = [f"{name}.{column}" for name, block in blocks for column in _get(block, "columns") or []]
    return [*dict.fromkeys([*derived, *(column.split(".", 1)[1] for column in columns), *columns])]


# --- keys -----------------------------------------------------------------------------------------------


def _list_steps(typed: str, root: Path, *, end: str, groups: bool = True) -> list[str]:
    """Each key up to its next dot after what is typed; a whole one gets `end`."""
    files = _find_groups(root)
    whole = [f"{group}{end}" for group in files] if groups else []
    if groups and "@" in typed:
        whole += [f"{inner}@{group}.{place}{end}" for group in files for inner, place in _list_places(group, files)]
    branches = [f"{name}." for name in _list_branches(files)] if "." not in typed else []
    steps = {_cut(leaf, typed, end) for leaf in _list_leaves(typed, files, root)}
    found = sorted({*whole, *branches, *steps})
    return sorted(found, key=lambda one: not one.startswith("experiment"))  # what most runs begin with


def _list_branches(files: dict[str, list[Path]]) -> set[str]:
    return {group.split("/")[0] for group, paths in files.items() if any(map(_has_package, paths))}


def _cut(leaf: str, typed: str, end: str) -> str:
    dot = leaf.find(".", len(typed))
    return leaf + end if dot < 0 else leaf[: dot + 1]


def _list_leaves(typed: str, files: dict[str, list[Path]], root: Path) -> Iterator[str]:
    """Dotted keys: those of the root, and of the group that is typed."""
    yield from (name for name in _load_root(root) if name != "defaults")
    head = typed.split(".", 1)[0]
    if "." in typed and head in _list_branches(files):
        for node in _load_group(head, files):
            yield from (f"{head}.{leaf}" for leaf, _ in _list_settable(node))
        yield from (f"{head}.{leaf}" for leaf in _list_schema_keys(typed.split(".")[1:-1], head, root))


def _list_schema_keys(path: list[str], group: str, root: Path) -> Iterator[str]:
    for folder in _find_folders(root):
        for name, inner in schemas.list_names(folder, group, path):
            if name not in _NOT_KEYS:
                yield ".".join([*path, name, *(["*"] if inner else [])])


def _list_settable(node: Any) -> Iterator[tuple[str, Any]]:
    leaves = list_leaves(node) if isinstance(node, dict) else ()
    return ((key, value) for key, value in leaves if key and get_name(key) not in _NOT_KEYS)


# --- values ---------------------------------------------------------------------------------------------


def _list_values(key: str, root: Path) -> list[str]:
    """The options of a group; of a key the values that its schema lists, else those that files of conf/ use."""
    files = _find_groups(root)
    if key.partition("@")[0] in files:
        return sorted({path.stem for path in files[key.partition("@")[0]]})
    group, _, path = key.partition(".")
    listed = [one for folder in _find_folders(root) for one in schemas.list_values(folder, group, path.split("."))]
    used = [value for node in _load_group(group, files) for leaf, value in _list_settable(node) if leaf == path]
    return _write(listed) or sorted(_write(used))


def _write(values: Iterable[Any]) -> list[str]:
    """Values that the override grammar takes without quotes; the rest is left out."""
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return [text for text in dict.fromkeys(texts) if _PLAIN.fullmatch(text)]


# --- files ----------------------------------------------------------------------------------------------


def _find_folders(root: Path) -> list[Path]:
    return [folder for folder in dict.fromkeys([root / "conf", SHIPPED_CONF]) if folder.is_dir()]


def _find_groups(root: Path) -> dict[str, list[Path]]:
    """Every group with the files of its options: folders of conf/, the hidden ones aside."""
    groups: dict[str, list[Path]] = {}
    for folder in _find_folders(root):
        for path in sorted(folder.glob("*/**/*.yaml")):
            name = path.parent.relative_to(folder).as_posix()
            if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                groups.setdefault(name, []).append(path)
    return groups


def _load_group(group: str, files: dict[str, list[Path]]) -> Iterator[Any]:
    """The contents of a group's files, those of groups inside it, or at a place of it, under their names."""
    for inner, place in _list_places(group, files):
        yield from ({place: _load(path)} for path in files.get(inner, []))
    for name, paths in files.items():
        if name.split("/")[0] == group:
            for path in filter(_has_package, paths):
                node = _load(path)
                for part in reversed(name.split("/")[1:]):
                    node = {part: node}
                yield node


def _list_places(group: str, files: dict[str, list[Path]]) -> list[tuple[str, str]]:
    """Of each entry `/other@place: option` in the defaults lists of a group the other group and the place."""
    nodes = map(_load, filter(_has_package, files.get(group, [])))
    entries = [entry for node in nodes for entry in _get(node, "defaults") or [] if isinstance(entry, dict)]
    parts = [str(name).strip("/").partition("@") for entry in entries for name in entry]
    return list(dict.fromkeys((other, place) for other, _, place in parts if place))


def _load_root(root: Path) -> dict[str, Any]:
    files = (folder / "config.yaml" for folder in _find_folders(root))
    node = next((_load(file) for file in files if file.is_file()), None)
    return node if isinstance(node, dict) else {}


def _has_package(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return not file.readline().startswith(_GLOBAL)


def _load(path: Path) -> Any:
    import yaml  # only where keys are asked for

    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None


def _get(node: Any, name: str) -> Any:
    return node.get(name) if isinstance(node, dict) else None
