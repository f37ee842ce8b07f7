"""Labels of runs: the values in which each differs from the others, under the shortest keys that are unique."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from treadle.experiment.changes import shorten
from treadle.keys import climb, get_section, is_within, join
from treadle.runs.read import Flat
from treadle.wording import number_of

_TARGET = "_target_"
_MODEL, _MEMBERS = f"model.{_TARGET}", "model.members"  # members: of a blend


def list_differences(runs: Sequence[Flat]) -> dict[str, list[Any]]:
    """The keys in which runs differ, with the value of each run; None where a run has no such key."""
    keys = dict.fromkeys(key for run in runs for key in run)
    table = {key: [run.get(key) for run in runs] for key in keys}
    return {key: values for key, values in table.items() if any(value != values[0] for value in values)}


def write_labels(runs: Sequence[Flat]) -> list[str]:
    """The label of each run: `model=Mlp width=64`; of a section with many values its name alone."""
    runs = [_name_blend(run) for run in runs]
    differences = list_differences(runs)
    names = _shorten_names(differences)

    @cache
    def varies(key: str, node: str | None, component: str | None) -> bool:
        """Whether a value differs among runs with the same component: another class has other arguments anyway."""
        peers = [run.get(key) for run in runs if node is None or run.get(node) == component]
        return any(value != peers[0] for value in peers)

    labels = []
    for run in runs:
        own = [key for key in differences if run.get(key) is not None]
        nodes = {key: _find_component(key, run) for key in own}
        distinct = [key for key in own if key == nodes[key] or varies(key, nodes[key], run.get(nodes[key] or ""))]
        labels.append(_write_label({key: run[key] for key in distinct}, names))
    return labels


def _name_blend(run: Flat) -> Flat:
    """A blend as a component, whose arguments are its members."""
    return {_MODEL: "Blend", **run} if any(is_within(key, _MEMBERS) for key in run) else run


def _find_component(key: str, run: Flat) -> str | None:
    """The `_target_` that a key belongs to: its own node's, or that of the nearest node above; members: the blend's."""
    if is_within(key, _MEMBERS):
        return _MODEL
    above = (join(section, _TARGET) for section in climb(get_section(key)))
    return next((target for target in above if target in run), None)


def _write_label(values: Flat, names: Mapping[str, str]) -> str:
    branches = _group(shorten(list(values)), values)
    parts = []
    for branch, keys in branches.items():
        if branch in values:
            parts.append(f"{names[branch]}={_write_value(branch, values[branch])}")
        else:
            parts.append(f"{branch}: {number_of(len(keys), 'value')}")
    return "  ".join(parts) or "the same configuration"


def _group(branches: list[str], values: Iterable[str]) -> dict[str, list[str]]:
    """The keys below each branch."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in values:
        found[next(branch for branch in branches if is_within(key, branch))].append(key)
    return found


def _shorten_names(keys: Iterable[str]) -> dict[str, str]:
    """Each dotted key by its last parts, as many as make it unique; a component by its node."""
    paths = {key: key.removesuffix(f".{_TARGET}").split(".") for key in keys}
    taken: dict[str, int] = defaultdict(int)
    for parts in paths.values():
        for length in range(1, len(parts) + 1):
            taken[".".join(parts[-length:])] += 1
    return {
        key: next((n for k in range(1, len(parts) + 1) if taken[n := ".".join(parts[-k:])] == 1), ".".join(parts))
        for key, parts in paths.items()
    }


def _write_value(key: str, value: Any) -> str:
    return str(value).rpartition(".")[2] if key.endswith(_TARGET) else write_value(value)


def write_value(value: Any) -> str:
    """A value of the configuration in one short text; `-` where a run has no such key."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
