"""W&B's own variables of the environment: which hold, which are ignored, which are wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from treadle.errors import TreadleError
from treadle.experiment.spec import WandbTracker

Mode = Literal["online", "offline", "disabled"]

# Set by a sweep agent or by hand, they take precedence over the arguments of wandb.init(): they would overwrite the
# configuration that we record, or attach the run to another one.
FOREIGN = (
    "WANDB_SWEEP_ID",
    "WANDB_SWEEP_PARAM_PATH",
    "WANDB_CONFIG_PATHS",
    "WANDB_RUN_ID",
    "WANDB_RESUME",
    "WANDB_RESUME_FROM",
    "WANDB_FORK_FROM",
)
_MODES: dict[str, Mode] = {
    "online": "online",
    "offline": "offline",
    "disabled": "disabled",
    "run": "online",  # two older names, which W&B still accepts
    "dryrun": "offline",
}
_SECRETS = ("KEY", "TOKEN", "PASSWORD", "HEADERS")  # in the names of variables whose values are not shown


def choose_mode(settings: WandbTracker) -> Mode:
    """That of WANDB_MODE where it is set, unless the configuration disables tracking.

    Raises:
        TreadleError: WANDB_MODE is no mode.
    """
    value = os.environ.get("WANDB_MODE")
    if settings.mode == "disabled" or not value:
        return settings.mode
    if value not in _MODES:
        raise TreadleError(f"WANDB_MODE: must be online, offline or disabled, found {value!r}; correct or unset it")
    return _MODES[value]


def unless_set(variable: str, value: str | None) -> str | None:
    """The value, or None where W&B reads the variable itself."""
    return None if os.environ.get(variable) else value


def join_tags(tags: Sequence[str]) -> list[str]:
    """Those of the configuration and those of WANDB_TAGS, each once."""
    given = (tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(","))
    return list(dict.fromkeys([*tags, *filter(None, given)]))


def require_valid_variables() -> None:
    """Let W&B parse each variable, and report all that it does not accept at once.

    Raises:
        TreadleError: with every such variable.
    """
    import wandb

    faults = []
    for name, value in sorted(os.environ.items()):
        if name.startswith("WANDB_") and name not in FOREIGN and value:
            try:
                wandb.Settings().update_from_env_vars({name: value})
            except (ValueError, TypeError, wandb.errors.Error) as error:
                shown = "its value" if any(part in name for part in _SECRETS) else repr(value)
                faults.append(f"{name}: W&B does not accept {shown}: {_describe(error)}; correct or unset it")
    if faults:
        raise TreadleError("\n".join(faults))


def _describe(error: Exception) -> str:
    """The reason alone; a validation error of pydantic repeats the value, which may be a secret."""
    listed = getattr(error, "errors", None)
    return "; ".join(str(fault["msg"]) for fault in listed()) if callable(listed) else str(error)


@contextmanager
def without(variables: Sequence[str]) -> Iterator[None]:
    """Without these variables, and without empty ones, which W&B would treat as values."""
    empty = [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value]
    hidden = {name: os.environ.pop(name) for name in {*variables, *empty} if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
