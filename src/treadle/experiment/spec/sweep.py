"""Group `sweep`: many runs of one experiment, by `treadle run -m`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from treadle.experiment.spec.base import Duration, Spec
from treadle.schema import Count, Seed


class Confirm(Spec):
    """The best settings of a search run again on seeds that it has not seen, and are ranked by those."""

    top: Count
    """How many of the best settings are confirmed."""
    seeds: Count
    """Number of fresh seeds of each."""


class Sweep(Spec):
    """Many runs of one experiment: over which values, in which order, and until when."""

    space: dict[str, Any]
    """Values of each swept key, as a list or in Hydra's sweep grammar; overrides of the command line come on top."""
    sampler: Literal["auto", "grid", "random", "tpe", "cmaes", "gp", "nsga2", "qmc"]
    """How settings are chosen, by Optuna's name; auto: grid if all values are listed, else tpe."""
    pruner: Literal["none", "median", "halving", "hyperband"]
    """Which trials of a search are stopped early, by Optuna's name."""
    objective: str | list[str]
    """Validation metrics that are optimised; auto: `schedule.monitor`."""
    seeds: Count | Annotated[list[Seed], Field(min_length=1)]
    """Replicates of each setting; a number: so many seeds, from `seed` on."""
    max_trials: Count | None
    """Settings that are tried in all; null: every one of a grid, 50 of a search."""
    max_time: Duration | None
    """No trial starts after it [duration]."""
    patience: Count | None
    """A search ends after so many settings without a better one; null: it goes on."""
    confirm: Confirm | None
    """Repeats the best settings on fresh seeds; null: the seeds of the search rank them."""
    timeout: Duration | None
    """A longer trial is ended [duration]."""
    workers: Count | Literal["auto"]
    """Trials at once; auto: one a GPU, or as many as the cores hold with `trainer.threads` each."""
    retries: int = Field(ge=0)
    """How often a trial that fails, times out or is killed is run again."""
