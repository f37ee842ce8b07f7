"""One attempt at a trial on a cluster: what its driver and its worker tell each other, in files of a shared folder.

    job.json        driver: the function, its arguments, environment and log
    started.json    worker: host and process
    epochs.jsonl    worker: the objective after each epoch
    stop            driver: how the trial is to end, where it is to end early
    end.json        worker: how it ended, with the result or the last line of the error

They exist from the start, empty, since a network file system remembers for a while that a file was not there. What
the engine itself returns is not asked: a worker that is killed returns nothing. `python -m
treadle.sweeps.engines.attempt FOLDER` is one worker's life.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.disk import write_json, write_text
from treadle.sweeps.engines.engine import Ending, Job, PrunedError, Report
from treadle.sweeps.engines.worker import Outcome, perform, prepare

POLL_S = 1.0  # between looks of a worker at what its driver says
GRACE_S = 60.0  # between the request to end and the end by force
_SHARED = ("started.json", "epochs.jsonl", "stop", "end.json")
_DRIVER_S = 120.0  # a driver that has written no sign of life for so long is gone


@dataclass(frozen=True)
class Beat:
    """The driver's sign of life, in a file: who drives, and a number that grows.

    A worker compares what it reads with what it read before, by its own clock: those of two machines may differ.
    """

    path: Path

    def write(self, driver: str, number: int) -> None:
        """Say that this driver lives."""
        write_text(self.path, f"{driver} {number}\n")

    def read(self) -> str:
        """The last sign; empty where there is none."""
        return _read(self.path)


@dataclass(frozen=True)
class Attempt:
    """The files of an attempt."""

    folder: Path

    @classmethod
    def begin(cls, trial: Path) -> Attempt:
        """The next one of a trial; a worker of an earlier one that still lives keeps its own files."""
        attempts = trial / "attempts"
        number = 1 + max((int(path.name) for path in attempts.glob("[0-9]*")), default=0)
        folder = attempts / str(number)
        folder.mkdir(parents=True)
        for name in _SHARED:
            (folder / name).touch()
        return cls(folder)

    # --- by the driver

    def write_job(self, job: Job, *, beat: Beat, driver: str, paths: Sequence[str], folder: Path) -> None:
        """What the worker does.

        Args:
            job: of the trial.
            beat: where the driver says that it lives.
            driver: who that is.
            paths: for `sys.path`.
            folder: the current one.
        """
        plain = {
            "function": job.function,
            "arguments": dict(job.arguments),
            "environment": dict(job.environment),
            "log": str(job.log),
            "beat": str(beat.path),
            "driver": driver,
            "paths": list(paths),
            "folder": str(folder),
        }
        write_json(self.folder / "job.json", plain)

    def write_stop(self, ending: Ending) -> None:
        """Ask the worker to end; of several reasons the first one counts, apart from pruning."""
        if self.read_stop() in {"", "pruned"}:
            write_text(self.folder / "stop", ending)

    def read_started(self) -> dict[str, Any] | None:
        """Host and process of the worker; None before it starts."""
        text = _read(self.folder / "started.json")
        return json.loads(text) if text else None

    def read_epochs(self, skip: int) -> list[tuple[int, float]]:
        """Epoch and objective of each whole line after the first ones."""
        lines = _read(self.folder / "epochs.jsonl").split("\n")[:-1]
        return [(int(epoch), float(value)) for epoch, value in map(json.loads, lines[skip:])]

    def read_earlier_epochs(self) -> list[tuple[int, float]]:
        """Those of all attempts before, also what they did after their driver had died."""
        number = int(self.folder.name)
        earlier = (Attempt(self.folder.with_name(str(n))) for n in range(1, number))
        return [epoch for attempt in earlier for epoch in attempt.read_epochs(0)]

    def read_end(self) -> Outcome | None:
        """How the worker ended, by its own word; None where it has not said."""
        text = _read(self.folder / "end.json")
        return tuple(json.loads(text)) if text else None

    # --- by the worker

    def read_job(self) -> dict[str, Any]:
        """What is to be done."""
        plain: dict[str, Any] = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))
        return plain

    def read_stop(self) -> str:
        """How the driver wants the trial to end; empty where it is to go on."""
        return _read(self.folder / "stop")

    def report(self, epoch: int, value: float) -> None:
        """Write down the objective after an epoch. The trial goes on without an answer.

        Raises:
            PrunedError: the driver has asked for the end meanwhile.
        """
        with (self.folder / "epochs.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps([epoch, value])}\n")
        if self.read_stop() == "pruned":
            raise PrunedError(f"pruned after epoch {epoch}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


# --- the worker ---------------------------------------------------------------------------------------


def work(folder: str) -> None:
    """Do what the folder of an attempt says, and write there how that ended."""
    attempt = Attempt(Path(folder))
    job = attempt.read_job()
    prepare(log=Path(job["log"]), environment=job["environment"])
    signal.signal(signal.SIGUSR2, signal.getsignal(signal.SIGTERM))  # SLURM's warning that the time is nearly over
    os.environ.pop("SLURM_NTASKS", None)  # the trial is one process: Lightning is not to look for others of the job
    write_json(attempt.folder / "started.json", {"host": os.uname().nodename, "pid": os.getpid()})
    watch = threading.Thread(target=_heed, args=(attempt, Beat(Path(job["beat"])), job["driver"]), daemon=True)
    watch.start()
    sys.path += [path for path in job["paths"] if path not in sys.path]
    os.chdir(job["folder"])
    report: Report = attempt.report
    outcome = perform(job["function"], job["arguments"], report=report)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it has ended
    write_json(attempt.folder / "end.json", outcome)


def _heed(attempt: Attempt, beat: Beat, driver: str) -> None:
    """End this process as its driver asks, or when there is no such driver any more."""
    last, heard = beat.read(), time.monotonic()
    while attempt.read_stop() in {"", "pruned"} and time.monotonic() - heard < _DRIVER_S:
        time.sleep(POLL_S)
        sign = beat.read()
        if sign.partition(" ")[0] not in {driver, ""}:
            break
        last, heard = (sign, time.monotonic()) if sign != last else (last, heard)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    work(sys.argv[1])
