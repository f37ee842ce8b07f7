"""Workers: each trial in a process of its own, forked from a server that has the libraries loaded already.

Importing torch and Lightning costs seconds; the server pays for it once, and a trial that raises, hangs, runs out of
memory or is killed costs only itself. A process ends with its trial, so that its memory is given back.

What is preloaded is frozen: an edit of a source changes no later trial. (multiprocessing's fork server ignores
`sys.path` and swallows an ImportError, so that `preload` sets the path itself, and reports what failed.)
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, Self

from treadle.errors import TreadleError
from treadle.experiment.file_states import read_state
from treadle.experiment.imports import SourceFile

_PATHS, _SOURCES = "TREADLE_PRELOAD_PATHS", "TREADLE_PRELOAD_SOURCES"
_START_S = 1.0  # between looks at a server that starts
GRACE_S = 5.0  # between the request to end and the end by force
SAVE_S = 60.0  # the same where the user asks: steps under way may be long, and a second request ends them

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


@dataclass(frozen=True)
class Epoch:
    """A trial's objective after an epoch; the worker waits for `Pool.answer`."""

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
    exit_code: int | None


@dataclass
class _Worker:
    job: Job
    process: BaseProcess
    connection: Connection
    start: float
    message: tuple[Any, ...] | None = None  # the last word of the worker
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

    def __init__(self, *, paths: Sequence[str], sources: Mapping[str, SourceFile]) -> None:
        has_server = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if has_server else "spawn")
        self._workers: dict[int, _Worker] = {}
        plain = {name: [str(source.file), *(source.state or ())] for name, source in sources.items()}
        os.environ[_PATHS], os.environ[_SOURCES] = json.dumps(list(paths)), json.dumps(plain)
        if has_server:
            self._context.set_forkserver_preload([f"{__package__}.preload"])

    def __enter__(self) -> Self:
        """Wait until the server holds the code."""
        self.start(Job(0, f"{__name__}.hold_code", {}, Path(os.devnull)))
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
        for name in (_PATHS, _SOURCES):
            os.environ.pop(name, None)

    @property
    def running(self) -> list[int]:
        """The numbers of trials that run."""
        return list(self._workers)

    def list_environment(self, name: str) -> list[str]:
        """The values that running workers have of an environment variable."""
        return [w.job.environment[name] for w in self._workers.values() if name in w.job.environment]

    def start(self, job: Job) -> int:
        """Start a worker; gives its process number."""
        job.log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(job, theirs), name=f"trial {job.number}")
        process.start()
        theirs.close()
        self._workers[job.number] = _Worker(job, process, ours, time.monotonic())
        pid: int = process.pid
        return pid

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
                    worker.message = message
        except (EOFError, OSError):
            worker.is_silent = True  # it ends; libraries of its own may take a while for that
        return found

    def _bury(self, number: int) -> End:
        worker = self._workers.pop(number)
        worker.process.join()
        worker.connection.close()
        code = worker.process.exitcode
        seconds = time.monotonic() - worker.start
        ending, result, error = worker.message or ("killed", None, _describe_exit(code))
        if worker.stopping is not None and ending not in {"done", "pruned"}:
            ending = worker.stopping
            if ending == "timed out":
                error = f"timed out after {worker.job.timeout_s:g} s"
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


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + ("; the machine may be out of memory" if -code == signal.SIGKILL else "")
    return f"ended with exit code {code} and no result"


# --- in the worker ------------------------------------------------------------------------------------


def preload() -> str:
    """Import what the trials need, and compute nothing: threads survive no fork. Gives what failed, or nothing."""
    for path in json.loads(os.environ.get(_PATHS, "[]")):
        if path not in sys.path:
            sys.path.append(path)
    sources: dict[str, list[Any]] = json.loads(os.environ.get(_SOURCES, "{}"))
    for module in sources:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - code of the user's may raise anything; the trial reports it
            return f"{module} cannot be imported: {type(error).__name__}: {error}"
    return ""


def _find_edited() -> str:
    """The first source that was written to since it was hashed; or nothing."""
    sources: dict[str, list[Any]] = json.loads(os.environ.get(_SOURCES, "{}"))
    return next((file for file, *state in sources.values() if list(read_state(Path(file)) or ()) != state), "")


def hold_code(*, report: Report) -> None:  # noqa: ARG001 - as a job is called
    """The first job: the server has imported the code by now, and until now no source may have been edited.

    Raises:
        TreadleError: one was.
    """
    if edited := _find_edited():
        raise TreadleError(f"{edited} was edited while the sweep started; run the same command again")


def _work(job: Job, connection: Connection) -> None:
    """The life of a worker."""
    with suppress(PermissionError):
        os.setpgid(0, 0)  # Ctrl-C in the terminal goes to whoever drives, who asks the workers to end
    _redirect(job.log)
    os.environ.update(job.environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    message: tuple[Any, ...]
    try:
        failed = preload()  # again: it is nearly free where the server did it, and says what went wrong there
        if failed:
            raise TreadleError(failed)  # noqa: TRY301 - told like any other failure
        module, _, name = job.function.rpartition(".")
        function = getattr(importlib.import_module(module), name)
        message = ("done", function(report=_make_report(connection), **job.arguments), "")
    except PrunedError as error:
        message = ("pruned", None, str(error))
    except KeyboardInterrupt:
        message = ("interrupted", None, "interrupted")
    except BaseException as error:  # noqa: BLE001 - the driver reports it
        with suppress(OSError):  # the disk is full
            traceback.print_exc()
        message = ("failed", None, _describe_error(error))
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    with suppress(OSError):  # the driver is dead
        connection.send(message)
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


def _redirect(log: Path) -> None:
    """What the worker and its libraries print goes to its own log."""
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    source = os.open(os.devnull, os.O_RDONLY)
    os.dup2(source, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - as Python calls it
    raise KeyboardInterrupt


def _end_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os.kill(os.getpid(), signal.SIGKILL)


def _describe_error(error: BaseException) -> str:
    """Its type and the first line of its message; where that only announces the rest, the last line as well."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return f"{type(error).__name__}: {text}".removeprefix("TreadleError: ")
