"""Build: from a checked `_target_` node to the object, within the allow-list and nothing else."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

from treadle.schema import TreadleError


def build(node: dict[str, Any], *, key: str, targets: Sequence[str], **context: Any) -> Any:
    """Call the target of `node` with its keys and with what Treadle adds (`context`).

    Nested targets are built first. With `_partial_: true` the call is left open.

    Raises:
        TreadleError: the target is not allowed, does not exist, or refuses its arguments.
    """
    target = locate_target(node["_target_"], key=key, targets=targets)
    arguments = {
        name: _build_value(value, key=f"{key}.{name}", targets=targets)
        for name, value in node.items()
        if name not in {"_target_", "_partial_"}
    }
    if node.get("_partial_", False):
        return functools.partial(target, **arguments, **context)
    try:
        return target(**arguments, **context)
    except TreadleError:
        raise
    except (TypeError, ValueError) as error:
        raise TreadleError(f"{key}: {node['_target_']} refuses its arguments: {error}") from error


def _build_value(value: Any, *, key: str, targets: Sequence[str]) -> Any:
    if isinstance(value, dict):
        if "_target_" in value:
            return build(value, key=key, targets=targets)
        return {k: _build_value(v, key=f"{key}.{k}", targets=targets) for k, v in value.items()}
    if isinstance(value, list):
        return [_build_value(v, key=f"{key}.{i}", targets=targets) for i, v in enumerate(value)]
    return value


def locate_target(path: str, *, key: str, targets: Sequence[str]) -> Any:
    """Import a class or function whose path, and whose own module, lie inside the allow-list."""
    _require_allowed(path, path=path, key=key, targets=targets)
    module_path, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_path), name)
    except (ImportError, AttributeError) as error:
        raise TreadleError(f"{key}: the target {path!r} does not exist: {error}") from error
    if not callable(found):
        raise TreadleError(f"{key}: the target {path!r} is not a class or a function")
    # A name that an allowed module merely imported (`….models.mlp.os`) is not an allowed target.
    _require_allowed(f"{getattr(found, '__module__', '')}.", path=path, key=key, targets=targets)
    return found


def _require_allowed(origin: str, *, path: str, key: str, targets: Sequence[str]) -> None:
    if not any(origin.startswith(prefix) for prefix in targets):
        raise TreadleError(
            f"{key}: the target {path!r} is outside the allowed {', '.join(targets)}; a package of your own is allowed "
            "in `targets` of conf/config.yaml, by `--allow` of treadle predict, by `targets` of treadle.load"
        )
