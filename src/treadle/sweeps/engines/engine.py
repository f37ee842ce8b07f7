"""What the driver of a sweep asks of an engine, and what it hears from it. No driver knows which engine it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from treadle.errors import TreadleError

Ending = Literal["done", "pruned", "failed", "timed out", "killed", "interrupted"]
Report = Callable[[int, float], None]  # takes epoch and objective; raises `PrunedError` where the trial is to stop


class PrunedError(TreadleError):
    """The trial is stopped early, since others promise more."""


@dataclass(frozen=True)
class Job:
    """What a worker does."""

    number: int  # of the trial
    function: str  # `package.module.name`, called with `report` and the arguments
    arguments: Mapping[str, Any]  # plain values
    log: Path  # takes what it prints, and its traceback
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    num_threads: int = 1
    uses_gpu: bool = False


@dataclass(frozen=True)
class Started:
    """What is known of a job once it has started, or waits in a queue."""

    pid: int | None = None  # on this machine
    job: str | None = None  # as a cluster names it


@dataclass(frozen=True)
class Epoch:
    """A trial's objective after an epoch. It may wait for `Engine.answer`."""

    number: int
    epoch: int
    value: float


@dataclass(frozen=True)
class End:
    """How a trial ended."""

    number: int
    ending: Ending
    result: Any  # of the function, where it is done
    error: str  # what went wrong, in a line
    seconds: float
    exit_code: int | None = None
    host: str | None = None  # where it ran, if not on this machine


class Engine(Protocol):
    """Runs jobs, each in a process of its own. Use it as a context: at its end no job is left."""

    holds_code: bool  # workers have loaded it before the first trial; else each reads it from its files

    def __enter__(self) -> Self:
        """Be ready for jobs."""

    def __exit__(self, *error: object) -> None:
        """End what is left by force."""

    @property
    def running(self) -> list[int]:
        """The numbers of trials that run, or wait in a queue."""

    def count_slots(self, *, num_threads: int, uses_gpu: bool) -> int:
        """How many jobs of that kind there is room for."""

    def start(self, job: Job) -> Started:
        """Start a job, or queue it."""

    def answer(self, number: int, *, goes_on: bool) -> None:
        """After an `Epoch`: whether the trial goes on."""

    def stop(self, ending: Ending = "interrupted", *, force: bool = False) -> None:
        """Ask every job to end: a training writes a checkpoint first; `force`: at once."""

    def wait(self, seconds: float) -> list[Epoch | End]:
        """What happens within that time, as soon as something does."""
