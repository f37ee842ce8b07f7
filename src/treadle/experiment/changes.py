"""What differs between two resolved experiments, and which stages run again for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from treadle.experiment.stages import CODE, STAGES, Stage, take_slice

Values = dict[str, Any]  # of a resolved.yaml


@dataclass(frozen=True)
class Change:
    """A value that differs; None where a side has no such key."""

    key: str
    before: Any
    after: Any


def list_leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key with its value; lists are values."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from list_leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def list_changes(before: Values, after: Values) -> list[Change]:
    """The values that differ, in the order of the experiment; code is no value."""
    old, new = ({k: v for k, v in list_leaves(side) if not k.startswith(f"{CODE}.")} for side in (before, after))
    return [Change(key, old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)]


def find_reruns(before: Values, after: Values, *, new_data: bool = False) -> dict[str, list[str]]:
    """The stages that run again when `after` follows `before`, each with its reasons.

    Args:
        before: values of a resolved.yaml.
        after: values of another.
        new_data: the files of the tables differ.
    """
    reruns: dict[str, list[str]] = {}
    for stage in STAGES:
        reasons = [change.key for change in list_changes(_take(before, stage), _take(after, stage))]
        if before[CODE][stage.name] != after[CODE][stage.name]:
            reasons.append("its code")
        if stage.after is None and new_data:
            reasons.append("the data files")
        if stage.after in reruns:
            reasons.append(f"what {stage.after} gives")
        if reasons:
            reruns[stage.name] = reasons
    return reruns


def _take(values: Values, stage: Stage) -> Values:
    """The stage's slices; an older file may lack a key."""
    try:
        return take_slice(values, stage)
    except KeyError as error:
        return {key: values.get(key) for key in stage.slices} | {"missing": str(error)}
