"""What an experiment is about: a table, or a LightningModule of the user's own; which of them, its keys tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from treadle.keys import is_within

Kind = Literal["table", "learner"]
LEARNER: Final = "learner"  # the key that makes an experiment one of a learner

# The section that says how long an experiment trains, and by which metric it is judged.
TRAINING: Final[Mapping[Kind, str]] = {"table": "schedule", "learner": "fit"}

RAW: Final = "treadle.features.raw.Raw"  # step after which numbers are as they were, for models that take them so


def takes_raw(values: Mapping[str, Any]) -> bool:
    """Whether the model of an experiment of these nested values takes numbers as they are: it trains itself.

    Of a blend no: each of its members has features of its own, and some may be networks.
    """
    if "_target_" not in (values.get("model") or {}):
        return False
    blocks = (values.get("features") or {}).get("blocks") or {}
    return any(node["_target_"] == RAW for block in blocks.values() for node in block["steps"].values())


def get_kind(values: Mapping[str, Any]) -> Kind:
    """What an experiment of these values is about; they may be nested, or leaves by dotted key."""
    is_learner = any(is_within(key, LEARNER) and value is not None for key, value in values.items())
    return "learner" if is_learner else "table"
