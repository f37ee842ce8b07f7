"""Drive a sweep: start trials while a worker is free, write down what happens to each, and stop with an answer."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from treadle.disk import write_text
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.fingerprint import list_sources
from treadle.experiment.identity import list_modules
from treadle.experiment.imports import SourceFile
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.stages import get_stage, list_needed
from treadle.pipeline.locks import try_lock
from treadle.pipeline.record import find_run_damage, is_done
from treadle.sweeps.declaration import find_changed_code, write
from treadle.sweeps.engines.choose import choose_engine
from treadle.sweeps.engines.engine import End, Engine, Epoch, Job
from treadle.sweeps.ledger import BAD, Ledger, Trial
from treadle.sweeps.plan import Plan, Tell
from treadle.sweeps.sweep import Sweep
from treadle.sweeps.trial import FUNCTION, read_objectives
from treadle.tracking import Membership, write_setting

_POLL_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Drive:
    """A sweep under way, on whichever engine."""

    plan: Plan
    engine: Engine
    stops: int = 0  # how often the user asked to stop

    @property
    def sweep(self) -> Sweep:
        """What runs."""
        return self.plan.sweep

    @property
    def ledger(self) -> Ledger:
        """What has happened."""
        return self.plan.ledger

    def run(self) -> None:
        """Run trials until the sweep is answered, or the user stops it."""
        with self.engine, self._catching():
            num_workers = self._count_workers()
            while True:
                self.plan.skip_replicates()
                if self.stops:
                    self.engine.stop(force=self.stops > 1)
                else:
                    self._fill(num_workers)
                if not self.engine.running:
                    return
                for event in self.engine.wait(_POLL_S):
                    self._take(event)

    @contextmanager
    def _catching(self) -> Iterator[None]:
        """The first signal asks the trials to end (they resume from their last checkpoint), the second ends them.

        A signal that is ignored, such as SIGHUP under nohup, stays ignored.
        """

        def stop(number: int, frame: object) -> None:  # noqa: ARG001 - as Python calls it
            self.stops += 1

        heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, stop) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _count_workers(self) -> int:
        """How many trials run at once."""
        workers = self.sweep.settings.workers
        if workers != "auto":
            return workers
        first = self.sweep.space.check(next(self.sweep.space.list_corners()), seed=self.sweep.seeds[0])
        return self.engine.count_slots(num_threads=first.trainer.threads, uses_gpu=first.trainer.accelerator == "gpu")

    def _fill(self, num_workers: int) -> None:
        """Start trials while a worker is free."""
        while len(self.engine.running) < num_workers and not self.stops:
            trial = self.plan.find_next(self.engine.running)
            if trial is None:
                return
            if not trial.has_ended:
                self._start(trial)

    # --- one trial

    def _start(self, trial: Trial) -> None:
        resolved = self.plan.freeze(trial.setting, trial.replicate)
        signatures, run = self.plan.sign(resolved)
        if signatures["train"] != trial.signature:
            raise TreadleError(
                f"trial {trial.number}: source or data is not what the sweep began with; put it back, or begin another "
                "sweep by the command of this one"
            )
        folder, stage = RunFolder(self.plan.root / RUNS / run), get_stage("train", resolved.values)
        if is_done(folder, stage, signatures["train"]) and find_run_damage(folder, stage) is None:
            self._reuse(trial, folder, resolved)
            return
        place = self.sweep.get_trial_folder(trial.number)
        place.mkdir(parents=True, exist_ok=True)
        write_text(place / "resolved.yaml", resolved.dump())
        timeout = self.sweep.settings.timeout
        job = Job(
            number=trial.number,
            function=FUNCTION,
            arguments={
                "resolved": str(place / "resolved.yaml"),
                "root": str(self.plan.root),
                "objectives": self.sweep.columns,
                "overrides": self.sweep.space.list_overrides(trial.replicate.add_to(trial.setting), seed=trial.seed),
                "membership": asdict(self._describe_membership(trial)),
                "code": "loaded" if self.engine.holds_code else "frozen",
                "keeps_unsplit": self.sweep.moves_split,
            },
            log=place / "log.txt",
            environment=_list_environment(resolved),
            timeout_s=None if timeout is None else parse_duration(timeout).total_seconds(),
            num_threads=resolved.experiment.trainer.threads,
            uses_gpu=resolved.experiment.trainer.accelerator == "gpu",
        )
        started = self.engine.start(job)
        self.ledger.start(trial.number, pid=started.pid, job=started.job, run=run)
        self.plan.tell(self.plan, trial)

    def _reuse(self, trial: Trial, folder: RunFolder, resolved: Resolved) -> None:
        """Take over the result of a run that was made before."""
        try:
            values = read_objectives(folder, resolved.experiment, self.sweep.columns)
        except TreadleError as error:
            self.ledger.end(trial.number, "failed", error=str(error), run=folder.path.name)
        else:
            self.ledger.end(trial.number, "done", values=values, is_reused=True, run=folder.path.name)
        self.plan.tell(self.plan, trial)

    def _describe_membership(self, trial: Trial) -> Membership:
        options = {group: trial.setting[group] for group in self.sweep.space.groups}
        return Membership(write_setting(trial.setting), self.sweep.name, trial.phase, options)

    def _take(self, event: Epoch | End) -> None:
        trial = self.ledger.trials[event.number]
        if isinstance(event, Epoch):
            if event.epoch not in trial.epochs:  # a worker that resumes tells again what the ledger may lack
                self.ledger.report(event.number, epoch=event.epoch, value=event.value)
            self.engine.answer(event.number, goes_on=not self.plan.should_prune(trial))
            self.plan.tell(self.plan, trial)
        else:
            self._end(trial, event)

    def _end(self, trial: Trial, end: End) -> None:
        values = end.result if end.ending == "done" else None
        self.ledger.end(
            trial.number,
            end.ending,
            values=values,
            error=end.error,
            seconds=end.seconds,
            exit_code=end.exit_code,
            host=end.host,
        )
        self.plan.tell(self.plan, trial)  # before a retry forgets how it ended
        if end.ending in BAD and trial.attempts <= self.sweep.settings.retries:
            self.ledger.retry(trial.number)


def run_sweep(sweep: Sweep, *, root: Path, tell: Tell, retry: bool = False) -> Drive:
    """Run or resume a sweep; what its ledger holds is not repeated.

    Args:
        sweep: declared, or read from its folder.
        root: the project.
        tell: called after each change.
        retry: run trials again that failed before.

    Raises:
        TreadleError: another process runs it, or source or data is not what it began with.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    with try_lock(sweep.folder / ".lock") as is_free:
        if not is_free:
            raise TreadleError(
                f"{sweep.name} is being run by another process; `treadle compare {sweep.folder}` shows it"
            )
        write(sweep)
        changed = find_changed_code(sweep)
        if changed:
            raise TreadleError(
                f"{sweep.name}: the source of {', '.join(changed)} is not what the sweep began with; put it back, or "
                "begin another sweep by `treadle run -m`"
            )
        plan = Plan(sweep, Ledger(sweep.folder), root, tell)
        for trial in [t for t in plan.ledger.trials.values() if retry and t.state in ("skipped", *BAD)]:
            plan.ledger.retry(trial.number)
        if sweep.is_grid:
            plan.add_grid()
        drive = Drive(plan, choose_engine(sweep, paths=_list_paths(root), sources=_list_sources(sweep)))
        drive.run()
    return drive


def _list_sources(sweep: Sweep) -> dict[str, SourceFile]:
    """All code that trials import: an engine may hold it in memory from the start, whatever happens to its files."""
    values = [sweep.space.freeze(corner, seed=sweep.seeds[0]).values for corner in sweep.space.list_corners()]
    modules = {m for each in values for stage in list_needed("train", each) for m in list_modules(each, stage)}
    return list_sources(modules | {FUNCTION.rpartition(".")[0]})


def _list_environment(resolved: Resolved) -> dict[str, str]:
    """Threads as the experiment says, and no agent of W&B: its record would be that of all."""
    threads = str(resolved.experiment.trainer.threads)
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "WANDB_SWEEP_ID": ""}


def _list_paths(root: Path) -> list[str]:
    """Where the project's own packages lie, as the command line finds them."""
    return [path for path in sys.path if Path(path).is_relative_to(root)]
