"""Runs that need each other's results in no way, made by several processes at once: what they give is shared.

A process of its own costs some seconds of imports, so that each makes several runs. It writes nothing but the runs: who
wants one asks for it as ever, finds it made, and makes it where a process has failed, so that errors are told there.

Each process reads from a pipe in which nothing is ever written: where its other end is closed, since the user has
stopped the work or the process that needs the runs was killed, it ends as a trial of a sweep does that is asked to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from treadle.exit_codes import describe_exit
from treadle.experiment import spec
from treadle.experiment.resolved import Resolved, read
from treadle.pipeline.locks import Notify
from treadle.threads import count_cores

MIN_RUNS = 8  # of a process: fewer are made sooner than it has imported torch
SAVE_S = 60.0  # between the request to end, when a training writes a checkpoint, and the end by force


def count_processes(experiment: spec.AnyExperiment, *, num_runs: int) -> int:
    """How many processes so many runs of an experiment are worth, of those that the cores hold.

    One, where a GPU is trained on, which the runs would share, or several processes are one training already.
    """
    trainer = experiment.trainer
    if trainer.accelerator != "cpu" or trainer.devices != 1:
        return 1
    return min(count_cores() // trainer.threads, num_runs // MIN_RUNS)


def make_side_by_side(
    runs: Mapping[str, Resolved], *, num_processes: int, root: Path, keeps_unsplit: bool, notify: Notify
) -> None:
    """Make runs up to their bundles.

    Args:
        runs: by name; those that are alike next to each other, so that each process gets its share of them.
        num_processes: how many there are at once.
        root: the project.
        keeps_unsplit: whether runs differ in the split alone.
        notify: takes each line of progress.
    """
    names = list(runs)
    with TemporaryDirectory() as folder:
        for name, resolved in runs.items():
            (Path(folder) / name).write_text(resolved.dump(), encoding="utf-8")
        shares = [[str(Path(folder) / name) for name in names[first::num_processes]] for first in range(num_processes)]
        threads = max((resolved.experiment.trainer.threads for resolved in runs.values()), default=1)
        own = [f"--path={path}" for path in sys.path if Path(path).is_relative_to(root)]  # the project's own packages
        options = [f"--root={root}", *own, *(["--keep-unsplit"] if keeps_unsplit else [])]
        with _start([[*options, *share] for share in shares], threads=threads) as lines:
            for line in lines:
                notify(f"  {line}")


@contextmanager
def _start(commands: Sequence[Sequence[str]], *, threads: int) -> Iterator[Iterator[str]]:
    """The lines that all processes write, until the last one has ended; none is left at the end."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    source, target = os.pipe()  # one for all: each writes whole lines
    watched, held = os.pipe()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with os.fdopen(source, encoding="utf-8") as lines:
            try:
                for command in commands:
                    process = subprocess.Popen(  # noqa: S603 - this module
                        [sys.executable, "-P", "-m", __name__, *command],  # -P: no file of the project hides a library
                        stdin=watched,
                        stdout=target,
                        stderr=subprocess.DEVNULL,
                        env=environment,
                    )
                    processes.append(process)
            finally:
                os.close(target)
                os.close(watched)
            yield _read(lines, processes)
    finally:
        os.close(held)
        for process in processes:
            process.wait()


def _read(lines: TextIO, processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[str]:
    for line in lines:
        yield line.rstrip("\n")
    for process in processes:
        if process.wait() != 0:
            yield f"one process: {describe_exit(process.returncode)}; what it has not made is made by this one"


# --- in a process of its own --------------------------------------------------------------------------


def _make(files: Sequence[str], *, root: Path, paths: Sequence[str], keeps_unsplit: bool) -> None:
    _end_with_parent()
    sys.path += [path for path in paths if path not in sys.path]  # last, as in the process that has started this one
    from treadle.pipeline.run import run

    told = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the lines of epochs, several trainings at once, tell nothing
    for file in files:
        name = Path(file).name

        def tell(line: str, name: str = name) -> None:
            told.write(f"{name}: {line}\n")

        run(read(Path(file)), root=root, upto="train", notify=tell, code="frozen", keeps_unsplit=keeps_unsplit)


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, too, which ends and is noticed
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C would
    watched = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # for libraries that read it
    threading.Thread(target=_watch, args=[watched], daemon=True).start()


def _watch(pipe: int) -> None:
    os.read(pipe, 1)  # returns at its end
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _read_arguments() -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--path", action="append", default=[], dest="paths")
    parser.add_argument("--keep-unsplit", action="store_true")
    parser.add_argument("files", nargs="+")
    given = parser.parse_args()
    _make(given.files, root=given.root, paths=given.paths, keeps_unsplit=given.keep_unsplit)


if __name__ == "__main__":
    _read_arguments()
