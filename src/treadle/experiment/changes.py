"""What differs between two resolved experiments, and which stages run again for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from treadle.experiment.stages import CODE, ORDER, Stage, Values, list_stages, take_slice
from treadle.keys import ABSENT, get, list_leaves

MAX_KEYS = 6  # named for one stage


@dataclass(frozen=True)
class Change:
    """A value that differs; ABSENT where one side has no such key."""

    key: str
    before: Any
    after: Any


def list_changes(before: Values, after: Values) -> list[Change]:
    """The values that differ, in the order of the experiment, without the fingerprints of code."""
    old, new = ({k: v for k, v in list_leaves(side) if not k.startswith(f"{CODE}.")} for side in (before, after))
    changes = (Change(key, old.get(key, ABSENT), new.get(key, ABSENT)) for key in {**old, **new})
    return [change for change in changes if _write(change.before) != _write(change.after)]


def _write(value: Any) -> str:
    """As JSON, like a signature: 1, 1.0 and true are three values."""
    return json.dumps(value, sort_keys=True, default=repr)


def find_reruns(before: Values, after: Values, *, new_data: bool = False) -> dict[str, list[str]]:
    """The stages that run again when `after` follows `before`, each with its reasons.

    Args:
        before: values of a resolved.yaml.
        after: values of another.
        new_data: the files of the tables differ.
    """
    reruns: dict[str, list[str]] = {}
    for stage in list_stages(after):
        keys = [change.key for change in list_changes(_take(before, stage), _take(after, stage))]
        reasons = shorten([key for key in keys if not key.endswith(ORDER)] or keys)  # another name is no new order
        key = f"{CODE}.{stage.name}"
        if get(before, key) != get(after, key):
            reasons.append("its code")
        if not stage.reads and new_data:
            reasons.append("the data files")
        reasons += [f"what {name} gives" for name in stage.reads if name in reruns]
        if reasons:
            reruns[stage.name] = reasons
    return reruns


def _take(values: Values, stage: Stage) -> Values:
    """The leaves of what the stage depends on; an older file may lack some."""
    return dict(list_leaves(take_slice(values, stage)))


def shorten(keys: list[str]) -> list[str]:
    """The keys, or where they are many the branches that hold them: `data.tables` for all that is below."""
    depth = max((key.count(".") + 1 for key in keys), default=1)
    while len(keys) > MAX_KEYS and depth > 1:
        depth -= 1
        keys = list(dict.fromkeys(".".join(key.split(".")[:depth]) for key in keys))
    return keys
