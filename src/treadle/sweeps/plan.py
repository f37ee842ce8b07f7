"""The plan of a sweep: which trial comes next, which is hopeless, and what the answer is so far; nothing runs here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treadle.experiment.durations import parse_duration
from treadle.experiment.identity import name_run, sign_stages
from treadle.experiment.kinds import TRAINING, get_kind
from treadle.experiment.resolved import Resolved
from treadle.problems import ConfigError
from treadle.sweeps.answer import Row, group_by_setting, name_setting, rank
from treadle.sweeps.axes import Replicate
from treadle.sweeps.ledger import BAD, Ledger, Phase, Trial
from treadle.sweeps.search import Point, Search
from treadle.sweeps.sweep import Sweep

_Repeat = tuple[Mapping[str, str], Replicate]  # a setting, and which of its runs
Tell = Callable[["Plan", Trial], None]  # called after each change to a trial


@dataclass
class Plan:
    """A sweep with what its ledger knows of it."""

    sweep: Sweep
    ledger: Ledger
    root: Path
    tell: Tell
    start: float = field(default_factory=time.monotonic)
    num_ended_before: int = field(init=False)  # trials that an earlier session ended

    def __post_init__(self) -> None:
        self.num_ended_before = sum(trial.has_ended for trial in self.ledger.trials.values())

    # --- which trial is next

    def find_next(self, running: Sequence[int]) -> Trial | None:
        """A trial to start beside those that run, added now where none waits; None where there is none to start yet.

        One that was added now may have ended, since its setting is no valid experiment.
        """
        return None if self._is_over_time() else self._find_waiting(running) or self._add_next(running)

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
        """Where trials are pruned, the first replicate of a setting decides about the others of the search."""
        if self.sweep.settings.pruner == "none" or trial.phase == "confirm":
            return True
        first = self._find_first(trial)
        return first is trial or first.state == "done"

    def _find_first(self, trial: Trial) -> Trial:
        same = (t for t in self.ledger.trials.values() if t.setting == trial.setting and t.phase == trial.phase)
        return next(same)

    def _add_next(self, running: Sequence[int]) -> Trial | None:
        """The first trial of a setting that is added now; None where the search, or the sweep, is done."""
        if not self._is_search_done():
            setting, suggestion = self._search.suggest(self.list_points())
            return self._add(self._repeat([setting], self.sweep.seeds), "search", suggestion)
        unconfirmed = [] if running else self._list_unconfirmed()
        return self._add(unconfirmed, "confirm", None) if unconfirmed else None

    def _repeat(self, settings: Sequence[Mapping[str, str]], seeds: Sequence[int]) -> list[_Repeat]:
        return [(setting, replicate) for setting in settings for replicate in self.sweep.list_replicates(seeds)]

    def _list_unconfirmed(self) -> list[_Repeat]:
        """What the best settings of the search lack of fresh seeds; more where a sweep goes on with other limits."""
        confirm = self.sweep.settings.confirm
        if confirm is None:
            return []
        after = max(self.sweep.seeds) + 1
        best = [row.setting for row in self._rank("search")[: confirm.top]]
        known = {(name_setting(t.setting), t.replicate) for t in self.ledger.trials.values() if t.phase == "confirm"}
        wanted = self._repeat(best, range(after, after + confirm.seeds))
        return [
            (setting, replicate) for setting, replicate in wanted if (name_setting(setting), replicate) not in known
        ]

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
        confirm, added, settings = self.sweep.settings.confirm, len(self.ledger.trials), self.sweep.count_settings()
        if self.is_answered:
            return added
        searched = len(self.sweep.list_replicates(self.sweep.seeds)) * settings
        if self.sweep.is_grid or self._is_search_done():
            searched = sum(trial.phase == "search" for trial in self.ledger.trials.values())
        folds = max(1, len(self.sweep.folds))
        confirming = 0 if confirm is None else min(confirm.top, settings) * confirm.seeds * folds
        return max(added, searched + confirming)

    @property
    def is_answered(self) -> bool:
        """Whether nothing is left to run."""
        trials = self.ledger.trials.values()
        if not trials or not all(trial.has_ended for trial in trials) or not self._is_search_done():
            return False
        if self.sweep.is_grid and len(self.list_settings()) < self.sweep.count_settings():
            return False
        return not self._list_unconfirmed()

    def list_settings(self) -> list[list[Trial]]:
        """The trials of the search, by setting."""
        searched = [trial for trial in self.ledger.trials.values() if trial.phase == "search"]
        return list(group_by_setting(searched).values())

    def list_points(self) -> list[Point]:
        """The settings as a sampler sees them."""
        return [_to_point(group) for group in self.list_settings()]

    def rank(self) -> list[Row]:
        """The answer so far."""
        return self._rank("search", "confirm")

    def _rank(self, *phases: Phase) -> list[Row]:
        trials = [trial for trial in self.ledger.trials.values() if trial.phase in phases]
        return rank(trials, higher_is_better=self.sweep.objectives[0].higher_is_better)

    @property
    def _search(self) -> Search:
        assert not self.sweep.is_grid
        values = next(iter(self.sweep.space.bases.values())).vary({}).values
        return Search(
            axes=self.sweep.space.axes,
            applies=self.sweep.space.applies,
            sampler=self.sweep.settings.sampler,
            pruner=self.sweep.settings.pruner,
            maximize=tuple(objective.higher_is_better for objective in self.sweep.objectives),
            seed=int(values["seed"]),
            max_epochs=_count_epochs(values),
        )

    def add_grid(self) -> None:
        """Add the settings of a grid that the ledger lacks."""
        known = {name_setting(trial.setting) for trial in self.ledger.trials.values()}
        missing = [setting for setting in self.sweep.list_grid() if name_setting(setting) not in known]
        if missing:
            self._add(self._repeat(missing, self.sweep.seeds), "search", None)

    def _add(self, repeats: Sequence[_Repeat], phase: Phase, suggestion: dict[str, Any] | None) -> Trial:
        """Add trials, all of them or none; gives the first.

        A setting of a search that is no valid experiment, which only its sampler could find, is one that fails.
        """
        first, errors = max(self.ledger.trials, default=0) + 1, dict[int, str]()
        trials: list[Trial] = []
        for number, (setting, replicate) in enumerate(repeats, start=first):
            try:
                signatures, run = self.sign(self.freeze(setting, replicate))
            except ConfigError as error:
                signatures, run = {"train": ""}, ""
                errors[number] = " ".join(str(error.problems[0]).split())
            seed, fold = replicate
            trials.append(Trial(number, dict(setting), seed, phase, run, suggestion, signatures["train"], fold))
        self.ledger.add(trials)
        for number, text in errors.items():
            self.ledger.end(number, "failed", error=text)
            self.tell(self, self.ledger.trials[number])
        return self.ledger.trials[first]

    def freeze(self, setting: Mapping[str, str], replicate: Replicate) -> Resolved:
        """The experiment of a trial."""
        return self.sweep.space.freeze(replicate.add_to(setting), seed=replicate.seed)

    def sign(self, resolved: Resolved) -> tuple[dict[str, str], str]:
        """The signatures of its stages, and the name of its run."""
        signatures = sign_stages(resolved, root=self.root)
        return signatures, name_run(resolved, signatures)

    # --- which is not

    def should_prune(self, trial: Trial) -> bool:
        """Whether its epochs so far promise too little; what the pruner then knows is remembered."""
        if trial.phase == "confirm" or self.sweep.settings.pruner == "none" or self.sweep.is_grid:
            return False
        if self._find_first(trial) is not trial:
            return False
        number = next(index for index, group in enumerate(self.list_settings()) if trial in group)
        is_hopeless, suggestion = self._search.should_prune(self.list_points(), number)
        self.ledger.remember(trial.number, suggestion)
        return is_hopeless

    def skip_replicates(self) -> None:
        """Where trials are pruned, the other replicates of a setting whose first one gave no score are not run."""
        for first, *others in self.list_settings() if self.sweep.settings.pruner != "none" else ():
            for trial in others if first.state in ("pruned", *BAD) else ():
                if trial.state == "waiting":
                    self.ledger.end(trial.number, "skipped", error=f"{first.replicate} was {first.state}")
                    self.tell(self, trial)


def _count_epochs(values: Mapping[str, Any]) -> int:
    """The largest number of epochs of a trial; trees say it in rounds."""
    model = values.get("model") or {}  # a learner has none
    if {"max_rounds", "eval_period"} <= model.keys():
        return -(-int(model["max_rounds"]) // int(model["eval_period"]))
    return int(values[TRAINING[get_kind(values)]]["max_epochs"])


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
