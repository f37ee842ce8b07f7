"""The ledger of a sweep: what happened to each trial, one JSON object a line, appended and flushed to the disk.

A line that a crash cut short is cut off when the file is opened again; everything before it counts. Whoever appends
holds the sweep's lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from treadle.errors import TreadleError
from treadle.sweeps.axes import Replicate

FILE = "ledger.jsonl"
_DECLARED = ("number", "setting", "seed", "phase", "run", "suggestion", "signature", "fold")

State = Literal["waiting", "running", "done", "pruned", "failed", "timed out", "killed", "skipped", "interrupted"]
BAD: tuple[State, ...] = ("failed", "timed out", "killed")  # ended without a result
ENDED: tuple[State, ...] = ("done", "pruned", "skipped", *BAD)  # an interrupted one goes on
Phase = Literal["search", "confirm"]


@dataclass
class Trial:
    """One run of a sweep, as far as the ledger tells."""

    number: int
    setting: dict[str, str]  # key: right side of its override; without seed and fold
    seed: int
    phase: Phase
    run: str  # name of its run folder
    suggestion: dict[str, Any] | None = None  # what the sampler needs to know of it again
    signature: str = ""  # of its stage `train`: what was frozen
    fold: int | None = None  # where folds are swept
    state: State = "waiting"
    attempts: int = 0
    epochs: dict[int, float] = field(default_factory=dict)  # objective after each epoch
    values: list[float] | None = None  # one for each objective, of the epoch that was kept
    error: str = ""  # what went wrong, in a line
    seconds: float = 0.0  # of all attempts
    is_reused: bool = False  # its run had been made before

    @property
    def replicate(self) -> Replicate:
        """Which of the runs of its setting it is."""
        return Replicate(self.seed, self.fold)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to be done for it, unless it is retried."""
        return self.state in ENDED


class Ledger:
    """The trials of a sweep, in memory and on disk.

    Args:
        folder: of the sweep.
        is_driven: whether this process holds the sweep's lock; else the ledger is only read, while another may write.
    """

    def __init__(self, folder: Path, *, is_driven: bool = True) -> None:
        self.path = folder / FILE
        self.trials: dict[int, Trial] = {}
        if is_driven:
            _cut_torn_line(self.path)
        for number, event in enumerate(_read_events(self.path), start=1):
            self._require_known(event, number)
            self._apply(event)
        if not is_driven:
            return
        for trial in self.trials.values():  # whoever ran it is gone
            trial.state = "interrupted" if trial.state == "running" else trial.state

    def add(self, trials: Sequence[Trial]) -> None:
        """Trials that are to run: all of them or none, since they are one line."""
        self._append(
            {"event": "add", "trials": [{name: getattr(trial, name) for name in _DECLARED} for trial in trials]}
        )

    def start(self, number: int, *, pid: int | None, job: str | None = None, run: str | None = None) -> None:
        """Its process runs here, or its job waits in the queue of a cluster.

        Args:
            number: of the trial.
            pid: of the process, if it is on this machine.
            job: as a cluster names it.
            run: in another run folder than it was added with.
        """
        place = {"pid": pid, "host": os.uname().nodename} if job is None else {"job": job}
        self._append({"event": "start", "trial": number, **place, "run": run})

    def report(self, number: int, *, epoch: int, value: float) -> None:
        """The objective after an epoch."""
        self._append({"event": "epoch", "trial": number, "epoch": epoch, "value": value}, is_urgent=False)

    def remember(self, number: int, suggestion: dict[str, Any]) -> None:
        """What the sampler and the pruner need to know of it from now on."""
        if suggestion != self.trials[number].suggestion:
            self._append({"event": "remember", "trial": number, "suggestion": suggestion}, is_urgent=False)

    def end(
        self,
        number: int,
        state: State,
        *,
        values: list[float] | None = None,
        error: str = "",
        seconds: float = 0.0,
        is_reused: bool = False,
        exit_code: int | None = None,
        run: str | None = None,
        host: str | None = None,
    ) -> None:
        """How it ended; `host`: where it ran, if not on the machine that started it."""
        plain = {"values": values, "error": error, "seconds": round(seconds, 3), "is_reused": is_reused, "run": run}
        self._append({"event": "end", "trial": number, "state": state, **plain, "exit_code": exit_code, "host": host})

    def retry(self, number: int) -> None:
        """It is to run once more."""
        self._append({"event": "retry", "trial": number})

    def _append(self, event: dict[str, Any], *, is_urgent: bool = True) -> None:
        """Write an event; an urgent one is on the disk before anything else happens."""
        line = json.dumps({**event, "at": datetime.now(tz=UTC).isoformat(timespec="milliseconds")})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            if is_urgent:
                os.fsync(file.fileno())
        self._apply(event)

    def _require_known(self, event: dict[str, Any], number: int) -> None:
        if event["event"] != "add" and event.get("trial") not in self.trials:
            raise TreadleError(
                f"{self.path}:{number}: no line before it adds trial {event.get('trial')}; restore the file, or remove "
                "it: the sweep then begins anew, and reuses the runs that are finished"
            )

    def _apply(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "add":
            self.trials |= {declared["number"]: Trial(**declared) for declared in event["trials"]}
            return
        trial = self.trials[event["trial"]]
        trial.run = event.get("run") or trial.run  # an edit of what evaluates gives it another name
        if kind == "start":
            trial.state, trial.attempts = "running", trial.attempts + 1
        elif kind == "epoch":
            trial.epochs[int(event["epoch"])] = float(event["value"])
        elif kind == "remember":
            trial.suggestion = event["suggestion"]
        elif kind == "retry":
            trial.state, trial.error = "waiting", ""
        else:
            trial.state, trial.values, trial.error = event["state"], event["values"], event["error"]
            trial.seconds += event["seconds"]
            trial.is_reused = event["is_reused"]


def _read_events(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for number, line in enumerate(_read_whole_lines(path), start=1):
        try:
            event = json.loads(line)
            assert {"event", "at"} <= event.keys()
        except (json.JSONDecodeError, AttributeError, AssertionError) as error:
            raise TreadleError(
                f"{path}:{number}: is not a line of a ledger; restore the file, or remove the line: what it "
                "recorded is then done again"
            ) from error
        yield event


def _read_whole_lines(path: Path) -> list[str]:
    """Without one that is being written."""
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last newline: a crash came in the middle of writing it."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
