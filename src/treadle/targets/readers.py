"""Which network of a model reads what texts and images are made of: itself, or the one to which it hands them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treadle.targets.signatures import read_constant


def find_reader(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node of the network that is given tokens and pixels: below one that hands them on, its member."""
    while read_constant(model["_target_"], "HANDS_ON") is True and isinstance(model.get("member"), Mapping):
        model = model["member"]
    return model
