"""The engine of this machine: each trial in a process forked from a server that has the libraries loaded already.

Importing torch and Lightning costs seconds; the server pays for it once, and a trial that raises, hangs, runs out of
memory or is killed costs only itself. A process ends with its trial, so that its memory is given back.

What is preloaded is frozen: an edit of a source changes no later trial.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from treadle.errors import TreadleError
from treadle.exit_codes import describe_exit
from treadle.experiment.imports import SourceFile
from treadle.hardware import count_gpus
from treadle.sweeps.engines import preload
from treadle.sweeps.engines.engine import End, Ending, Epoch, Job, PrunedError, Report, Started
from treadle.sweeps.engines.worker import Outcome, perform, prepare

_START_S = 1.0  # between looks at a server that starts
GRACE_S = 5.0  # between the request to end and the end by force
SAVE_S = 60.0  # the same where the user asks: steps under way may be long, and a second request ends them
_GPU = "CUDA_VISIBLE_DEVICES"


@dataclass
class _Worker:
    job: Job
    process: BaseProcess
    connection: Connection
    start: float
    gpu: str | None = None  # that it has for itself
    outcome: Outcome | None = None  # the last word of the worker
    is_silent: bool = False  # its end of the connection is closed
    stopping: Ending | None = None  # why it was asked to end
    stop_by: float = 0.0  # when it is ended by force


class Pool:
    """Running workers. Use it as a context: at its end no worker is left.

    Args:
        paths: for `sys.path` of the workers.
        sources: of the modules that are imported once, before the first trial, as they were when they were hashed.

    Raises:
        TreadleError: a module cannot be imported, or its source was edited in between.
    """

    holds_code = True

    def __init__(self, *, paths: Sequence[str], sources: Mapping[str, SourceFile]) -> None:
        has_server = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if has_server else "spawn")
        self._workers: dict[int, _Worker] = {}
        preload.declare(paths=paths, sources=sources)
        if has_server:
            self._context.set_forkserver_preload([preload.__name__])

    def __enter__(self) -> Self:
        """Wait until the server holds the code."""
        self.start(Job(0, f"{preload.__name__}.hold_code", {}, Path(os.devnull)))
        while self.running:
            for event in self.wait(_START_S):
                if isinstance(event, End) and event.ending != "done":
                    self.__exit__()
                    raise TreadleError(event.error)
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers.values():
            _signal(worker, signal.SIGKILL)
            worker.process.join()
        if self._context.get_start_method() == "forkserver":
            # The server lives as long as this process, and would keep the code of this sweep for the next one.
            multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
        preload.withdraw()

    @property
    def running(self) -> list[int]:
        """The numbers of trials that run."""
        return list(self._workers)

    def count_slots(self, *, num_threads: int, uses_gpu: bool) -> int:
        """A trial for each GPU, or as many as the cores hold with so many threads each."""
        if uses_gpu and (gpus := _list_gpus()):
            return len(gpus)
        return max(1, len(os.sched_getaffinity(0)) // num_threads)

    def start(self, job: Job) -> Started:
        """Start a worker; one that uses a GPU gets the one that the fewest have, for itself."""
        job.log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = self._context.Pipe()
        taken = [worker.gpu for worker in self._workers.values()]
        gpu = min(_list_gpus(), key=taken.count, default=None) if job.uses_gpu else None
        process = self._context.Process(target=_work, args=(job, gpu, theirs), name=f"trial {job.number}")
        process.start()
        theirs.close()
        self._workers[job.number] = _Worker(job, process, ours, time.monotonic(), gpu)
        return Started(pid=process.pid)

    def answer(self, number: int, *, goes_on: bool) -> None:
        """After an `Epoch`: whether the trial goes on."""
        if number in self._workers:
            with suppress(OSError):  # it has died meanwhile, which `wait` will tell
                self._workers[number].connection.send(goes_on)

    def stop(self, ending: Ending = "interrupted", *, force: bool = False) -> None:
        """Ask every worker to end: a training writes a checkpoint first; `force`: at once."""
        for worker in self._workers.values():
            if force:
                worker.stopping = worker.stopping or ending
                _signal(worker, signal.SIGKILL)
            else:
                _ask_to_end(worker, ending, grace_s=SAVE_S)

    def wait(self, seconds: float) -> list[Epoch | End]:
        """What happens within that time, as soon as something does."""
        self._enforce_limits()
        handles: list[Any] = [worker.process.sentinel for worker in self._workers.values()]
        handles += [worker.connection for worker in self._workers.values() if not worker.is_silent]
        ready = set(wait(handles, timeout=min(seconds, self._time_to_limit()))) if handles else set()
        found: list[Epoch | End] = []
        for number, worker in list(self._workers.items()):
            if worker.connection in ready or worker.process.sentinel in ready:
                found += self._read(worker)
            if worker.process.sentinel in ready:
                found.append(self._bury(number))
        return found

    def _read(self, worker: _Worker) -> list[Epoch | End]:
        found: list[Epoch | End] = []
        try:
            while worker.connection.poll():
                message = worker.connection.recv()
                if message[0] == "epoch":
                    found.append(Epoch(worker.job.number, message[1], message[2]))
                else:
                    worker.outcome = message
        except (EOFError, OSError):
            worker.is_silent = True  # it ends; libraries of its own may take a while for that
        return found

    def _bury(self, number: int) -> End:
        worker = self._workers.pop(number)
        worker.process.join()
        worker.connection.close()
        code = worker.process.exitcode
        assert code is not None, "it has ended"
        seconds = time.monotonic() - worker.start
        ending, result, error = worker.outcome or (
            "killed",
            None,
            describe_exit(code) + (" and no result" if code >= 0 else ""),
        )
        if worker.stopping is not None and ending not in {"done", "pruned"}:
            ending = worker.stopping
            if ending == "timed out":
                error = f"timed out after {worker.job.timeout_s:g} s"
            elif ending == "interrupted":  # a library may have wrapped it into an error of its own
                error = ending
        worker.process.close()
        return End(number, ending, result, error, seconds, code)

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        for worker in self._workers.values():
            limit = worker.job.timeout_s
            if worker.stopping is None and limit is not None and now - worker.start > limit:
                _ask_to_end(worker, "timed out", grace_s=GRACE_S)
            elif worker.stopping is not None and now > worker.stop_by:
                _signal(worker, signal.SIGKILL)

    def _time_to_limit(self) -> float:
        now, times = time.monotonic(), []
        for worker in self._workers.values():
            if worker.stopping is not None:
                times.append(worker.stop_by - now)
            elif worker.job.timeout_s is not None:
                times.append(worker.start + worker.job.timeout_s - now)
        return max(0.05, min(times, default=float("inf")))


def _ask_to_end(worker: _Worker, ending: Ending, *, grace_s: float) -> None:
    if worker.stopping is None:
        worker.stopping, worker.stop_by = ending, time.monotonic() + grace_s
        _signal(worker, signal.SIGTERM)


def _signal(worker: _Worker, number: signal.Signals) -> None:
    """To the worker and to what it started."""
    pid = worker.process.pid
    if pid is not None and worker.process.exitcode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _list_gpus() -> list[str]:
    """Those that this process may use, as CUDA names them."""
    given = [name for name in os.environ.get(_GPU, "").split(",") if name]
    return given or [str(index) for index in range(count_gpus()[0])]


# --- in the worker ------------------------------------------------------------------------------------


def _work(job: Job, gpu: str | None, connection: Connection) -> None:
    """The life of a worker."""
    with suppress(PermissionError):
        os.setpgid(0, 0)  # so that it ends with what it started
    prepare(log=job.log, environment={**job.environment, **({} if gpu is None else {_GPU: gpu})})
    threading.Thread(target=_end_with_driver, daemon=True).start()
    failed = preload.load()  # again: it is nearly free where the server did it, and says what went wrong there
    outcome: Outcome = ("failed", None, failed)
    if not failed:
        outcome = perform(job.function, job.arguments, report=_make_report(connection))
    with suppress(OSError):  # the driver is dead
        connection.send(outcome)
    connection.close()


def _make_report(connection: Connection) -> Report:
    def report(epoch: int, value: float) -> None:
        try:
            connection.send(("epoch", epoch, value))
            goes_on = connection.recv()
        except (OSError, EOFError) as error:
            raise KeyboardInterrupt from error  # nobody waits for the result
        if not goes_on:
            raise PrunedError(f"pruned after epoch {epoch}")

    return report


def _end_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os.kill(os.getpid(), signal.SIGKILL)
