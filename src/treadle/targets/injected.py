"""What Treadle itself hands to the target at a place, because it knows it from the data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Arguments by place; a configuration must not give them.
CONTEXT: dict[str, tuple[str, ...]] = {
    r"model(\.member)*": ("num_numeric", "cardinalities", "num_outputs"),
    r"features\.blocks\.[^.]+\.steps\.[^.]+": ("columns",),
    r"schedule\.optimizer": ("params",),
    r"schedule\.lr_schedule": ("num_steps",),
    r"loss\.function": ("task",),
    r"augmentation": ("numeric_columns", "id_columns"),
}


# Places whose target may do without what it is handed: an own loss need not take the task.
_OPTIONAL = r"model|loss\.function|augmentation|schedule\.lr_schedule"


def is_left_open(node: Mapping[str, Any], key: str) -> bool:
    """Whether a nested target is called by the target that holds it: Treadle adds arguments, or `_partial_` says so."""
    return bool(list_context(key)) or node.get("_partial_", False)


def list_required(key: str) -> set[str]:
    """Those arguments that the target at a place must take."""
    return set() if re.fullmatch(_OPTIONAL, key) else list_context(key)


def list_context(key: str) -> set[str]:
    """The arguments that Treadle hands to the target at a place."""
    return {name for form, names in CONTEXT.items() if re.fullmatch(form, key) for name in names}
