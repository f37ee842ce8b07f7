"""The engine of a cluster: it submits one job a trial, and reads from a shared folder what becomes of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from treadle.sweeps.engines.attempt import GRACE_S, Attempt, Beat
from treadle.sweeps.engines.engine import End, Ending, Epoch, Job, Started

_LOOK_S = 0.25  # between looks at the folder
_BEAT_S = 10.0  # between signs of life
_HOLD_S = 2.0  # Ctrl-C may reach a worker of this machine before its driver, who then asks it to end
_ASK_S = 5.0  # between questions to the cluster


class Cluster(Protocol):
    """What runs jobs somewhere. Use it as a context."""

    name: str
    lag_s: float  # until what a worker wrote last is seen in the shared folder

    def __enter__(self) -> Self:
        """Connect."""

    def __exit__(self, *error: object) -> None:
        """Disconnect."""

    def count_slots(self, *, num_threads: int, uses_gpu: bool) -> int:
        """How many jobs of that kind it has room for."""

    def submit(self, attempt: Path, *, num_threads: int, uses_gpu: bool) -> str:
        """Queue a job that calls `attempt.work` with the folder; gives its name."""

    def find_gone(self, jobs: Collection[str]) -> Mapping[str, str]:
        """Those that neither wait nor run any more, each with what the cluster says about its end."""

    def cancel(self, job: str) -> None:
        """End a job by force; one that has ended is no error."""


@dataclass
class _Running:
    job: Job
    attempt: Attempt
    name: str  # as the cluster calls it
    host: str | None = None  # where it runs; None: it waits in the queue
    start: float = 0.0  # when that was seen
    num_epochs: int = 0  # that were read
    stopping: Ending | None = None  # why it was asked to end
    stop_by: float = 0.0  # when it is ended by force
    interrupted_at: float = 0.0  # when it ended so, unasked
    gone: str = ""  # what the cluster says of its end
    gone_at: float = 0.0  # when it said so


@dataclass
class Jobs:
    """The trials of a sweep as jobs of a cluster; see `Engine`.

    Args:
        cluster: where they run.
        folder: of the sweep, which driver and workers share.
        paths: for `sys.path` of the workers.
    """

    cluster: Cluster
    folder: Path
    paths: Sequence[str]
    driver: str = field(default_factory=lambda: uuid.uuid4().hex)
    holds_code: bool = False
    _running: dict[int, _Running] = field(default_factory=dict)
    _num_beats: int = 0
    _beat_at: float = 0.0
    _ask_at: float = 0.0

    def __enter__(self) -> Self:
        """Say who drives, so that workers of an earlier driver end."""
        self._say_alive()
        self.cluster.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            for running in self._running.values():
                self.cluster.cancel(running.name)
        finally:
            self.cluster.__exit__(*error)

    @property
    def running(self) -> list[int]:
        """The numbers of trials that run, or wait in a queue."""
        return list(self._running)

    def count_slots(self, *, num_threads: int, uses_gpu: bool) -> int:
        """As many as the cluster has room for."""
        return self.cluster.count_slots(num_threads=num_threads, uses_gpu=uses_gpu)

    def start(self, job: Job) -> Started:
        """Queue a job."""
        attempt = Attempt.begin(job.log.parent)
        attempt.write_job(job, beat=self._beat, driver=self.driver, paths=self.paths, folder=Path.cwd())
        name = self.cluster.submit(attempt.folder, num_threads=job.num_threads, uses_gpu=job.uses_gpu)
        self._running[job.number] = _Running(job, attempt, name)
        return Started(job=f"{self.cluster.name} {name}")

    def answer(self, number: int, *, goes_on: bool) -> None:
        """After an `Epoch`: a trial that is to end sees it after its next one."""
        if number in self._running and not goes_on:
            self._running[number].attempt.write_stop("pruned")

    def stop(self, ending: Ending = "interrupted", *, force: bool = False) -> None:
        """Ask every job to end; one that waits in the queue is cancelled."""
        for running in self._running.values():
            if running.stopping is None:
                self._ask_to_end(running, ending)
            if force:
                running.stop_by = 0.0

    def wait(self, seconds: float) -> list[Epoch | End]:
        """What happens within that time, as soon as something does."""
        until = time.monotonic() + seconds
        while True:
            self._say_alive()
            self._ask_cluster()
            found = [event for number in self.running for event in self._look(number)]
            if found or time.monotonic() > until:
                return found
            time.sleep(_LOOK_S)

    @property
    def _beat(self) -> Beat:
        return Beat(self.folder / "driver")

    def _say_alive(self) -> None:
        if time.monotonic() > self._beat_at:
            self._num_beats += 1
            self._beat.write(self.driver, self._num_beats)
            self._beat_at = time.monotonic() + _BEAT_S

    def _ask_cluster(self) -> None:
        """Which jobs are gone: a worker that was killed writes no end."""
        if time.monotonic() > self._ask_at and self._running:
            gone = self.cluster.find_gone([running.name for running in self._running.values()])
            for running in self._running.values():
                if running.name in gone and not running.gone:
                    running.gone, running.gone_at = gone[running.name], time.monotonic()
            self._ask_at = time.monotonic() + _ASK_S

    def _look(self, number: int) -> list[Epoch | End]:
        running, found = self._running[number], list[Epoch | End]()
        self._enforce_limits(running)
        end = running.attempt.read_end()  # before the epochs, which were written before it
        epochs = running.attempt.read_epochs(running.num_epochs)
        running.num_epochs += len(epochs)
        if running.num_epochs == len(epochs) and (epochs or end):  # by now no earlier attempt trains any more
            epochs = [*running.attempt.read_earlier_epochs(), *epochs]
        found += [Epoch(number, epoch, value) for epoch, value in epochs]
        is_lost = bool(running.gone) and time.monotonic() - running.gone_at > self.cluster.lag_s
        if (end is None and not is_lost) or (end is not None and end[0] == "interrupted" and self._holds(running)):
            return found
        del self._running[number]
        ending, result, error = end or ("killed", None, running.gone)
        if ending == "interrupted":
            ending, error = "killed", "ended by a signal: preempted, cancelled, or at the time limit of its job"
        if running.stopping is not None and ending not in {"done", "pruned"}:
            ending = running.stopping
            error = f"timed out after {running.job.timeout_s:g} s" if ending == "timed out" else ending
        seconds = time.monotonic() - running.start if running.host else 0.0
        return [*found, End(number, ending, result, error, seconds, host=running.host)]

    def _holds(self, running: _Running) -> bool:
        """Whether an end that nobody asked for may still turn out to be asked for."""
        running.interrupted_at = running.interrupted_at or time.monotonic()
        return running.stopping is None and time.monotonic() - running.interrupted_at < _HOLD_S

    def _enforce_limits(self, running: _Running) -> None:
        now, limit = time.monotonic(), running.job.timeout_s
        if running.host is None and (started := running.attempt.read_started()) is not None:
            running.host, running.start = started["host"], now
        if running.stopping is not None and now > running.stop_by and not running.gone:
            self.cluster.cancel(running.name)
            running.gone, running.gone_at = "ended by force", now
        elif running.stopping is None and limit is not None and running.host and now - running.start > limit:
            self._ask_to_end(running, "timed out")

    def _ask_to_end(self, running: _Running, ending: Ending) -> None:
        running.attempt.write_stop(ending)
        running.stopping = ending
        running.stop_by = time.monotonic() + (GRACE_S if running.host else 0.0)
