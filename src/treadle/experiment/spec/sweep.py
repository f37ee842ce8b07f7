"""Group `sweep`: many runs of one experiment, by `treadle run -m`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field

from treadle.experiment.spec.base import Duration, Spec
from treadle.schema import Count, Positive, Seed


class Confirm(Spec):
    """The best settings of a search run again on seeds that it has not seen, and are ranked by those."""

    top: Count
    """How many of the best settings are confirmed."""
    seeds: Count
    """Number of fresh seeds of each."""


class LocalEngine(Spec):
    """Processes of this machine."""

    by: Literal["local"]
    """What runs the trials."""


class SlurmEngine(Spec):
    """A SLURM job for each trial, submitted by submitit; the project lies in a folder that all nodes share."""

    by: Literal["slurm"]
    """What runs the trials."""
    cluster: Literal["slurm", "local"]
    """Where jobs go: slurm, or local: processes of this machine, to try the settings without a cluster."""
    partition: str | None
    """Partition (queue); null: the cluster's default."""
    account: str | None
    """Account that is charged; null: the user's default."""
    qos: str | None
    """Quality of service; null: the cluster's default."""
    time: Duration
    """Time limit of a job; a trial that reaches it saves, and `sweep.retries` continues it [duration]."""
    cpus: Count | None
    """CPU cores of a job; null: `trainer.threads`."""
    gpus: int | None = Field(ge=0)
    """GPUs of a job; null: one where `trainer` is gpu, else none."""
    memory_gb: Positive | None
    """Memory of a job; null: the cluster's default [GB]."""
    setup: list[str]
    """Shell commands before the trial, such as `module load cuda`."""
    options: dict[str, Any]
    """Any other option of sbatch by its name, such as `constraint: a100`."""


class RayEngine(Spec):
    """A Ray task for each trial; the project lies in a folder that all nodes share."""

    by: Literal["ray"]
    """What runs the trials."""
    address: str | None
    """Address of the cluster, such as auto; null: RAY_ADDRESS, or a Ray that is started on this machine."""
    cpus: Positive | None
    """CPU cores of a trial; null: `trainer.threads`."""
    gpus: Annotated[float, Field(ge=0)] | None
    """GPUs of a trial, which may be a fraction; null: one where `trainer` is gpu, else none."""
    memory_gb: Positive | None
    """Memory that Ray reserves for a trial; null: none is reserved [GB]."""
    resources: dict[str, Positive]
    """Amounts of the cluster's custom resources that a trial needs."""
    runtime_env: dict[str, Any]
    """Ray's runtime environment of the workers, such as `env_vars`."""


Engine = Annotated[LocalEngine | SlurmEngine | RayEngine, Discriminator("by")]


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
    """Trials at once; auto: one a GPU, or as many as the cores hold with `trainer.threads` each, of the whole
    cluster with Ray."""
    retries: int = Field(ge=0)
    """How often a trial that fails, times out or is killed is run again."""
    # The default is for sweeps that are older than the key.
    engine: Engine = Field(default_factory=lambda: LocalEngine(by="local"))
    """Where the trials run: on this machine, on SLURM, or on Ray."""
