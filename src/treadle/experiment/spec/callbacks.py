"""Keys `callbacks` and `logger`: what else takes part in a training by Lightning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from treadle.experiment.spec.base import Target

# By name, so that an override reaches each (`callbacks.swa.swa_lrs=0.01`), or in a list. An entry of null is left out.
Nodes = dict[str, Target | None] | list[Target]


def is_empty(nodes: Any) -> bool:
    """Whether there is none: an experiment without them is what it was before the key existed."""
    return not nodes


def list_nodes(nodes: Nodes, *, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each node that is not null, with its dotted key."""
    items = nodes.items() if isinstance(nodes, dict) else enumerate(nodes)
    yield from ((f"{key}.{name}", node) for name, node in items if node is not None)
