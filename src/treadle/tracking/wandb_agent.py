"""`wandb agent`: the sweep of W&B for which this process works, and what it asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.tracking.membership import Membership, write_setting

# What `wandb agent` tells the command that it starts.
_SWEEP, _RUN, _PARAMETERS = "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"
_SEED = "seed"  # replicates of a setting differ in it


@dataclass(frozen=True)
class Agent:
    """The agent of a W&B sweep that started this process, and what it asked for."""

    sweep_id: str
    run_id: str  # which the server has given to the run already
    parameters: Mapping[str, Any]  # by the names of the sweep's definition

    @property
    def membership(self) -> Membership:
        """The setting, as in a sweep of our own; the server knows the rest."""
        return Membership(write_setting({key: str(value) for key, value in self.parameters.items() if key != _SEED}))


def find_agent() -> Agent | None:
    """The agent that started this process, by what it leaves in the environment; None where there is none.

    Raises:
        TreadleError: its file of parameters is missing or damaged.
    """
    sweep_id, run_id, file = (os.environ.get(name) for name in (_SWEEP, _RUN, _PARAMETERS))
    if not (sweep_id and run_id and file):
        return None
    try:
        given = yaml.safe_load(read_text(Path(file)))
        parameters = {key: item["value"] for key, item in given.items() if key != "wandb_version"}
    except (OSError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
        raise TreadleError(
            f"{_PARAMETERS}: {file} does not hold the parameters of a W&B agent: {error}; `wandb agent` sets the "
            f"variable: unset it, or start the agent anew"
        ) from error
    return Agent(sweep_id, run_id, parameters)
