"""Build: from a checked `_target_` node to the object, within the allow-list and nothing else."""

from __future__ import annotations

import functools
import importlib
import inspect
import traceback
from collections.abc import Sequence
from typing import Any

from treadle.errors import TreadleError
from treadle.targets.injected import is_left_open, list_required


class BuildError(TreadleError):
    """A target whose own code failed: the key, and the user's part of the traceback."""

    def __init__(self, key: str, path: str, error: BaseException, *, place: str = "") -> None:
        self.key, self.path, self.error = key, path, error
        head = "  ".join(part for part in (key, place) if part)
        reason = "".join(traceback.format_exception_only(error)).strip()
        super().__init__(
            f"{path!r} failed when it was built\n\n  {head}\n    {reason}\n\n{_format_frames(error)}".rstrip()
        )

    def at(self, place: str) -> BuildError:
        """The same error, with the place of the target in the configuration."""
        return BuildError(self.key, self.path, self.error, place=place)


def _format_frames(error: BaseException) -> str:
    """The traceback without the frames of this file and of Python's import."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename not in {__file__, importlib.__file__} and frame.lineno]
    return "".join(traceback.format_list([frame for frame in own if not frame.filename.startswith("<frozen ")]))


def build(node: dict[str, Any], *, key: str, targets: Sequence[str], **context: Any) -> Any:
    """Call the target of `node` with its keys and with the arguments of Treadle (`context`) that it takes.

    Nested targets are built first. One is a `functools.partial` instead, which the outer target calls, with
    `_partial_: true` or where Treadle adds arguments (`model.member`); on the node itself `_partial_` has no effect.

    Raises:
        TreadleError: the target is not allowed or does not exist.
        BuildError: its code failed.
    """
    call = bind(node, key=key, targets=targets, **context)
    try:
        return call()
    except TreadleError:
        raise
    except Exception as error:
        raise BuildError(key, node["_target_"], error) from error


def bind(node: dict[str, Any], *, key: str, targets: Sequence[str], **context: Any) -> functools.partial[Any]:
    """As `build`, without the call."""
    target = locate_target(node["_target_"], key=key, targets=targets)
    arguments = {
        name: build_value(value, key=f"{key}.{name}", targets=targets)
        for name, value in node.items()
        if name not in {"_target_", "_partial_"}
    }
    taken = {name: value for name, value in context.items() if _takes(target, name) or name in list_required(key)}
    return functools.partial(target, **arguments, **taken)


def _takes(target: Any, name: str) -> bool:
    """Whether a class or function takes an argument of that name, as far as `inspect` knows."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # compiled
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def build_value(value: Any, *, key: str, targets: Sequence[str]) -> Any:
    """A value with every target below it built."""
    if isinstance(value, dict):
        if "_target_" in value:
            return (bind if is_left_open(value, key) else build)(value, key=key, targets=targets)
        return {k: build_value(v, key=f"{key}.{k}", targets=targets) for k, v in value.items()}
    if isinstance(value, list):
        return [build_value(v, key=f"{key}.{i}", targets=targets) for i, v in enumerate(value)]
    return value


def locate_target(path: str, *, key: str, targets: Sequence[str]) -> Any:
    """Import a class or function whose path, and whose own module, lie inside the allow-list."""
    _require_allowed(path, path=path, key=key, targets=targets)
    module_path, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_path), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise TreadleError(f"{key}: the target {path!r} does not exist: {error}") from error
    except Exception as error:
        raise BuildError(key, path, error) from error
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
