"""Arguments that Treadle itself passes to the target at a key, with values from the data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Arguments by key; a configuration must not set them.
CONTEXT: dict[str, tuple[str, ...]] = {
    r"model(\.member)*": ("num_numeric", "cardinalities", "num_outputs"),
    r"features\.blocks\.[^.]+\.steps\.[^.]+": ("columns",),
    r"schedule\.optimizer": ("params",),
    r"schedule\.lr_schedule": ("num_steps",),
    r"loss\.function": ("task",),
    r"logger\.[^.]+": ("save_dir",),
    r"augmentation": ("numeric_columns", "id_columns"),
}


# Keys whose target need not take them all: a user's own loss may do without the task.
_OPTIONAL = r"model|loss\.function|augmentation|schedule\.lr_schedule|logger\.[^.]+"


def is_left_open(node: Mapping[str, Any], key: str) -> bool:
    """Whether a nested target is called by the target that holds it: Treadle adds arguments, or `_partial_` says so."""
    return bool(list_context(key)) or node.get("_partial_", False)


def list_required(key: str) -> set[str]:
    """The arguments that the target at a key must take."""
    return set() if re.fullmatch(_OPTIONAL, key) else list_context(key)


def list_context(key: str) -> set[str]:
    """The arguments that Treadle passes to the target at a key."""
    return {name for form, names in CONTEXT.items() if re.fullmatch(form, key) for name in names}
