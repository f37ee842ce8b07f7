"""Drive a sweep: start trials while a worker is free, write down what happens to each, and stop with an answer."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from treadle.disk import write_text
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.fingerprint import list_sources
from treadle.experiment.identity import list_modules, name_run, sign_stages
from treadle.experiment.imports import SourceFile
from treadle.experiment.kinds import name_schedule
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.stages import get_stage, list_needed
from treadle.hardware import count_gpus
from treadle.metrics.log import read_metrics_log
from treadle.pipeline.locks import try_lock
from treadle.pipeline.record import find_run_damage, is_done
from treadle.problems import ConfigError
from treadle.runs.read import find_best_epoch
from treadle.sweeps.answer import Row, group_by_setting, name_setting, rank
from treadle.sweeps.declare import Sweep, find_changed_code, write
from treadle.sweeps.ledger import BAD, Ledger, Phase, Trial
from treadle.sweeps.search import Point, Search
from treadle.sweeps.trial import FUNCTION
from treadle.sweeps.workers import End, Epoch, Job, Pool
from treadle.tracking import Membership, write_setting

Tell = Callable[["Drive", Trial], None]  # called after each change to a trial

_POLL_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Drive:
    """A sweep under way."""

    sweep: Sweep
    ledger: Ledger
    root: Path
    tell: Tell
    start: float = field(default_factory=time.monotonic)
    num_ended_before: int = field(init=False)  # trials that an earlier session ended
    stops: int = 0  # how often the user asked to stop

    def __post_init__(self) -> None:
        self.num_ended_before = sum(trial.has_ended for trial in self.ledger.trials.values())

    def run(self) -> None:
        """Run trials until the sweep is answered, or the user stops it."""
        with Pool(paths=_list_paths(self.root), sources=self._list_sources()) as pool, self._catching():
            while True:
                self._skip_replicates()
                if self.stops:
                    pool.stop(force=self.stops > 1)
                else:
                    self._fill(pool)
                if not pool.running:
                    return
                for event in pool.wait(_POLL_S):
                    self._take(event, pool)

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

    # --- which trial is next

    def _fill(self, pool: Pool) -> None:
        """Start trials while a worker is free."""
        while len(pool.running) < self.num_workers and not self.stops and not self._is_over_time():
            trial = self._find_waiting(pool.running) or self._add_next(pool.running)
            if trial is None:
                return
            if not trial.has_ended:
                self._start(trial, pool)

    @property
    def num_workers(self) -> int:
        """How many trials run at once."""
        workers = self.sweep.settings.workers
        if workers != "auto":
            return workers
        trainer = next(iter(self.sweep.space.bases.values())).written["trainer"]
        if count_gpus()[0] and trainer["accelerator"] != "cpu":
            return count_gpus()[0]
        return max(1, len(os.sched_getaffinity(0)) // int(trainer["threads"]))

    def _is_over_time(self) -> bool:
        limit = self.sweep.settings.max_time
        return limit is not None and time.monotonic() - self.start > parse_duration(limit).total_seconds()

    def _find_waiting(self, running: Sequence[int]) -> Trial | None:
        """A trial that was added and has not ended; one at a time of those that are the same run."""
        trials = self.ledger.trials
        busy = {trials[number].signature for number in running}
        waiting = (trial for trial in trials.values() if trial.state in {"waiting", "interrupted"})
        return next((trial for trial in waiting if trial.signature not in busy and self._may_start(trial)), None)

    def _may_start(self, trial: Trial) -> bool:
        """Where trials are pruned, the first replicate of a setting decides about the others."""
        first = self._find_first(trial)
        return self.sweep.settings.pruner == "none" or first is trial or first.state == "done"

    def _find_first(self, trial: Trial) -> Trial:
        same = (t for t in self.ledger.trials.values() if t.setting == trial.setting and t.phase == trial.phase)
        return next(same)

    def _add_next(self, running: Sequence[int]) -> Trial | None:
        """The first trial of a setting that is added now; None where the search, or the sweep, is done."""
        if not self._is_search_done():
            setting, suggestion = self._search.suggest(self.list_points())
            return self._add([setting], self.sweep.seeds, "search", suggestion)
        confirm = self.sweep.settings.confirm
        if running or confirm is None or any(t.phase == "confirm" for t in self.ledger.trials.values()):
            return None
        fresh = range(max(self.sweep.seeds) + 1, max(self.sweep.seeds) + 1 + confirm.seeds)
        best = [row.setting for row in self.rank()[: confirm.top]]
        return self._add(best, fresh, "confirm", None) if best else None

    def _is_search_done(self) -> bool:
        settings, tried = self.sweep.settings, len(self.list_settings())
        if self.sweep.is_grid or tried >= (self.sweep.max_settings or 0):
            return True
        return settings.patience is not None and self._count_since_best() >= settings.patience

    def _count_since_best(self) -> int:
        """Settings that finished after the best one."""
        done = [group for group in self.list_settings() if all(trial.has_ended for trial in group)]
        ranked = rank([t for group in done for t in group], higher_is_better=self.sweep.objectives[0].higher_is_better)
        best = next((i for i, group in enumerate(done) if ranked and group[0].setting == ranked[0].setting), None)
        return 0 if best is None else len(done) - 1 - best

    def count_planned(self) -> int:
        """How many trials there are, as far as that is known."""
        confirm = self.sweep.settings.confirm
        searched = len(self.sweep.seeds) * (self.sweep.max_settings or 0)
        added = len(self.ledger.trials)
        if self.sweep.is_grid or self._is_search_done():
            return added
        return max(added, searched + (confirm.top * confirm.seeds if confirm is not None else 0))

    @property
    def is_answered(self) -> bool:
        """Whether nothing is left to run."""
        trials = self.ledger.trials.values()
        if not trials or not all(trial.has_ended for trial in trials) or not self._is_search_done():
            return False
        if self.sweep.is_grid and len(self.list_settings()) < self.sweep.count_settings():
            return False
        return self.sweep.settings.confirm is None or any(trial.phase == "confirm" for trial in trials)

    def list_settings(self) -> list[list[Trial]]:
        """The trials of the search, by setting."""
        searched = [trial for trial in self.ledger.trials.values() if trial.phase == "search"]
        return list(group_by_setting(searched).values())

    def list_points(self) -> list[Point]:
        """The settings as a sampler sees them."""
        return [_to_point(group) for group in self.list_settings()]

    def rank(self) -> list[Row]:
        """The answer so far."""
        best = self.sweep.objectives[0]
        return rank(list(self.ledger.trials.values()), higher_is_better=best.higher_is_better)

    @property
    def _search(self) -> Search:
        assert not self.sweep.is_grid
        base = next(iter(self.sweep.space.bases.values()))
        return Search(
            axes=self.sweep.space.axes,
            applies=self.sweep.space.applies,
            sampler=self.sweep.settings.sampler,
            pruner=self.sweep.settings.pruner,
            maximize=tuple(objective.higher_is_better for objective in self.sweep.objectives),
            seed=int(base.written["seed"]),
            max_epochs=int(base.written[name_schedule(base.written)]["max_epochs"]),
        )

    def add_grid(self) -> None:
        """Add the settings of a grid that the ledger lacks."""
        known = {name_setting(trial.setting) for trial in self.ledger.trials.values()}
        missing = [setting for setting in self.sweep.list_grid() if name_setting(setting) not in known]
        if missing:
            self._add(missing, self.sweep.seeds, "search", None)

    def _add(
        self,
        settings: Sequence[Mapping[str, str]],
        seeds: Sequence[int],
        phase: Phase,
        suggestion: dict[str, Any] | None,
    ) -> Trial:
        """Add trials, all of them or none; gives the first.

        A setting of a search that is no valid experiment, which only its sampler could find, is one that fails.
        """
        first, errors = max(self.ledger.trials, default=0) + 1, dict[int, str]()
        trials: list[Trial] = []
        for setting in settings:
            for seed in seeds:
                number = first + len(trials)
                try:
                    signatures, run = self._sign(self.sweep.space.freeze(setting, seed=seed))
                except ConfigError as error:
                    signatures, run = {"train": ""}, ""
                    errors[number] = " ".join(str(error.problems[0]).split())
                trials.append(Trial(number, dict(setting), seed, phase, run, suggestion, signatures["train"]))
        self.ledger.add(trials)
        for number, text in errors.items():
            self.ledger.end(number, "failed", error=text)
            self.tell(self, self.ledger.trials[number])
        return self.ledger.trials[first]

    def _sign(self, resolved: Resolved) -> tuple[dict[str, str], str]:
        signatures = sign_stages(resolved, root=self.root)
        return signatures, name_run(resolved, signatures)

    # --- one trial

    def _start(self, trial: Trial, pool: Pool) -> None:
        resolved = self.sweep.space.freeze(trial.setting, seed=trial.seed)
        signatures, run = self._sign(resolved)
        if signatures["train"] != trial.signature:
            raise TreadleError(
                f"trial {trial.number}: source or data is not what the sweep began with; put it back, or begin another "
                "sweep by the command of this one"
            )
        folder, stage = RunFolder(self.root / RUNS / run), get_stage("train", resolved.values)
        if is_done(folder, stage, signatures["train"]) and find_run_damage(folder, stage) is None:
            best = find_best_epoch(read_metrics_log(folder.metrics_log), resolved.experiment)
            values = [best[objective.column] for objective in self.sweep.objectives]
            self.ledger.end(trial.number, "done", values=values, is_reused=True, run=run)
            self.tell(self, trial)
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
                "root": str(self.root),
                "objectives": [objective.column for objective in self.sweep.objectives],
                "overrides": self.sweep.space.list_overrides(trial.setting, seed=trial.seed),
                "membership": asdict(self._describe_membership(trial)),
            },
            log=place / "log.txt",
            environment=self._list_environment(resolved, pool),
            timeout_s=None if timeout is None else parse_duration(timeout).total_seconds(),
        )
        self.ledger.start(trial.number, pid=pool.start(job), run=run)
        self.tell(self, trial)

    def _describe_membership(self, trial: Trial) -> Membership:
        options = {group: trial.setting[group] for group in self.sweep.space.groups}
        return Membership(write_setting(trial.setting), self.sweep.name, trial.phase, options)

    def _list_environment(self, resolved: Resolved, pool: Pool) -> dict[str, str]:
        """A GPU of its own, threads as the experiment says, and no agent of W&B: its record would be that of all."""
        trainer = resolved.experiment.trainer
        environment = {"OMP_NUM_THREADS": str(trainer.threads), "MKL_NUM_THREADS": str(trainer.threads)}
        environment["WANDB_SWEEP_ID"] = ""
        if trainer.accelerator == "gpu":
            taken = pool.list_environment("CUDA_VISIBLE_DEVICES")
            environment["CUDA_VISIBLE_DEVICES"] = min(_list_gpus(), key=taken.count)
        return environment

    def _take(self, event: Epoch | End, pool: Pool) -> None:
        trial = self.ledger.trials[event.number]
        if isinstance(event, Epoch):
            self.ledger.report(event.number, epoch=event.epoch, value=event.value)
            pool.answer(event.number, goes_on=not self._should_prune(trial))
            self.tell(self, trial)
        else:
            self._end(trial, event)

    def _should_prune(self, trial: Trial) -> bool:
        if trial.phase == "confirm" or self.sweep.settings.pruner == "none" or self.sweep.is_grid:
            return False
        if self._find_first(trial) is not trial:
            return False
        number = next(index for index, group in enumerate(self.list_settings()) if trial in group)
        is_hopeless, suggestion = self._search.should_prune(self.list_points(), number)
        self.ledger.remember(trial.number, suggestion)
        return is_hopeless

    def _end(self, trial: Trial, end: End) -> None:
        values = end.result if end.ending == "done" else None
        self.ledger.end(
            trial.number, end.ending, values=values, error=end.error, seconds=end.seconds, exit_code=end.exit_code
        )
        self.tell(self, trial)  # before a retry forgets how it ended
        if end.ending in BAD and trial.attempts <= self.sweep.settings.retries:
            self.ledger.retry(trial.number)

    def _skip_replicates(self) -> None:
        """Where trials are pruned, the other seeds of a setting whose first one gave no score are not run."""
        for first, *others in self.list_settings() if self.sweep.settings.pruner != "none" else ():
            for trial in others if first.state in ("pruned", *BAD) else ():
                if trial.state == "waiting":
                    self.ledger.end(trial.number, "skipped", error=f"seed {first.seed} was {first.state}")
                    self.tell(self, trial)

    def _list_sources(self) -> dict[str, SourceFile]:
        """All code that trials import: held in memory from the start, whatever happens to its files."""
        corners = list(self.sweep.space.list_corners())
        values = [self.sweep.space.freeze(corner, seed=self.sweep.seeds[0]).values for corner in corners]
        modules = {m for each in values for stage in list_needed("train", each) for m in list_modules(each, stage)}
        return list_sources(modules | {FUNCTION.rpartition(".")[0]})


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
        drive = Drive(sweep, Ledger(sweep.folder), root, tell)
        for trial in [t for t in drive.ledger.trials.values() if retry and t.state in ("skipped", *BAD)]:
            drive.ledger.retry(trial.number)
        if sweep.is_grid:
            drive.add_grid()
        drive.run()
    return drive


def _to_point(group: Sequence[Trial]) -> Point:
    """A setting by its replicates: done when all are, pruned or failed when one is."""
    suggestion = group[0].suggestion
    assert suggestion is not None, "a search keeps what its sampler suggested"
    states = {trial.state for trial in group}
    is_finite = all(math.isfinite(value) for trial in group for value in trial.values or ())
    if states.intersection(BAD) or not is_finite:
        return Point(suggestion, "failed")
    if states & {"pruned", "skipped"}:
        return Point(suggestion, "pruned", epochs=group[0].epochs)
    if states == {"done"}:
        columns = zip(*(trial.values or [] for trial in group), strict=True)
        return Point(suggestion, "done", [sum(c) / len(group) for c in columns], group[0].epochs)
    return Point(suggestion, "running", epochs=group[0].epochs)


def _list_gpus() -> list[str]:
    """Those that this process may use, as CUDA names them."""
    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return given or [str(index) for index in range(count_gpus()[0])]


def _list_paths(root: Path) -> list[str]:
    """Where the project's own packages lie, as the command line finds them."""
    return [path for path in sys.path if Path(path).is_relative_to(root)]
