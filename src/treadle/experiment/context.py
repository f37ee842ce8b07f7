"""What Treadle itself hands to the target at a place, because it knows it from the data."""

from __future__ import annotations

import re

# Arguments by place; a configuration must not give them.
CONTEXT: dict[str, tuple[str, ...]] = {
    r"model(\.member)*": ("num_numeric", "cardinalities", "num_outputs"),
    r"features\.blocks\.[^.]+\.steps\.[^.]+": ("columns",),
    r"schedule\.optimizer": ("params",),
    r"schedule\.lr_schedule": ("num_steps",),
    r"loss\.function": ("task",),
    r"augmentation": ("numeric_columns", "id_columns"),
}


def list_context(key: str) -> set[str]:
    """The arguments that Treadle hands to the target at a place."""
    return {name for form, names in CONTEXT.items() if re.fullmatch(form, key) for name in names}
