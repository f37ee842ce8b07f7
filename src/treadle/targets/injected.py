"""Arguments that Treadle itself passes to the target at a key, with values from the data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# What functions call the predictions and the targets: Treadle, torchmetrics and scikit-learn.
PREDICTION = ("prediction", "preds", "y_pred", "y_score", "y_prob", "y_proba")
TARGET = ("target", "y_true")

# Prefixes of targets that a key allows besides the project's.
_NETWORK = r"model(\.member)*"
_AUGMENTATION = r"augmentation(\.mix)?"
_METRIC = r"metrics\.[^.]+\.function"
_CHECK = r"evaluation\.checks\.[^.]+\.function"
_LIBRARIES = {"model": ("sklearn.",), _METRIC: ("torchmetrics.",), _CHECK: ("treadle.evaluation.checks.",)}

# Arguments by key; a configuration must not set them.
CONTEXT: dict[str, tuple[str, ...]] = {
    _NETWORK: ("num_numeric", "cardinalities", "num_outputs", "texts", "images"),
    r"features\.blocks\.[^.]+\.steps\.[^.]+": ("columns",),
    r"schedule\.optimizer": ("params",),
    r"schedule\.lr_schedule": ("num_steps",),
    r"loss\.function": ("task",),
    r"logger\.[^.]+": ("save_dir",),
    _METRIC: (*PREDICTION, *TARGET),
    _CHECK: ("evaluated",),
    _AUGMENTATION: ("numeric_columns", "id_columns", "images"),
}

# Arguments that are handed to those alone that take them: a network without `texts` or `images` reads none.
OFFERED = frozenset({"texts", "images"})

# A member of a blend, or a candidate of a rule: its sections are those of an experiment.
_MEMBER = re.compile(r"model\.(members|candidates)\.[^.]+\.")

# Keys whose target need not take them all: a user's own loss may do without the task.
_OPTIONAL = rf"model|{_METRIC}|loss\.function|{_AUGMENTATION}|schedule\.lr_schedule|logger\.[^.]+"


def list_allowed(key: str, prefixes: Sequence[str]) -> list[str]:
    """The prefixes of targets that are allowed at a key."""
    own = _MEMBER.sub("", key, count=1)
    return [*prefixes, *(name for form, names in _LIBRARIES.items() if re.fullmatch(form, own) for name in names)]


def is_metric(key: str) -> bool:
    """Whether the target at a key is a metric of the user's own."""
    return re.fullmatch(_METRIC, key) is not None


def is_network(key: str) -> bool:
    """Whether the target at a key is a network, or a member of one."""
    return re.fullmatch(_NETWORK, key) is not None


def is_left_open(node: Mapping[str, Any], key: str) -> bool:
    """Whether a nested target is called by the target that holds it: Treadle adds arguments, or `_partial_` says so."""
    return bool(list_context(key)) or node.get("_partial_", False)


def list_required(key: str) -> set[str]:
    """The arguments that the target at a key must take."""
    return set() if re.fullmatch(_OPTIONAL, _MEMBER.sub("", key, count=1)) else list_context(key) - OFFERED


def list_context(key: str) -> set[str]:
    """The arguments that Treadle passes to the target at a key."""
    own = _MEMBER.sub("", key, count=1)
    return {name for form, names in CONTEXT.items() if re.fullmatch(form, own) for name in names}
