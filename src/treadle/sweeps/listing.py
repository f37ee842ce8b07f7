"""The sweeps of a project: how far each is, and the runs that each needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from treadle.errors import TreadleError
from treadle.pipeline.disk_use import measure_all
from treadle.pipeline.locks import try_lock
from treadle.sweeps import FILE
from treadle.sweeps.axes import Axis, Choices
from treadle.sweeps.declaration import read
from treadle.sweeps.ledger import BAD, Ledger, Trial
from treadle.sweeps.plan import Plan
from treadle.sweeps.sweep import SWEEPS, Objective, Sweep

_SHOWN = 4  # values of an axis


@dataclass(frozen=True)
class ListedSweep:
    """A sweep as its folder shows it."""

    folder: Path
    num_trials: int  # as far as that is known
    states: Counter[str]  # of the trials
    state: str  # finished, running, interrupted, or what is damaged
    changed_at: float  # when something happened in it [s since 1970]
    size: int  # of its folder; its runs have theirs [bytes]
    objective: Objective | None
    score: float | None  # of the best setting, the mean over its seeds
    label: str  # what it varies

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def summary(self) -> str:
        """`running: 3 of 12 done, 2 running, 1 failed`."""
        failed = sum(self.states[state] for state in BAD)
        parts = [f"{self.states['done']} of {self.num_trials} done"]
        parts += [f"{self.states[state]} {state}" for state in ("running", "pruned") if self.states[state]]
        parts += [f"{failed} failed"] if failed else []
        return f"{self.state}: {', '.join(parts)}"


def list_sweeps(root: Path) -> list[ListedSweep]:
    """The sweeps of a project, the newest first."""
    return sorted((_list(folder, root) for folder in _find_folders(root)), key=lambda sweep: -sweep.changed_at)


def find_needed(root: Path) -> dict[str, str]:
    """The runs that sweeps need, each with the reason.

    Of a sweep that is not finished these are all that its ledger names; of a finished one those of its best setting and
    of the settings tied with it, with each of their seeds. Where it has several objectives, no setting is the best: all
    that are done are kept.

    Raises:
        TreadleError: a sweep is damaged, so that it is unknown what it needs.
    """
    needed: dict[str, str] = {}
    for folder in _find_folders(root):
        plan = _open(folder, root)
        trials = list(plan.ledger.trials.values())
        if _is_held(folder) or not plan.is_answered:
            needed |= {
                trial.run: f"{folder.name} is not finished; resume it, or remove {SWEEPS}/{folder.name}"
                for trial in trials
            }
        else:
            needed |= {trial.run: f"best of {folder.name}" for trial in trials if _is_best(trial, plan)}
    return needed


def _is_best(trial: Trial, plan: Plan) -> bool:
    if len(plan.sweep.objectives) > 1:
        return trial.state == "done"
    best = [row.setting for index, row in enumerate(plan.rank()) if index == 0 or row.is_tied]
    return trial.setting in best


def _find_folders(root: Path) -> list[Path]:
    return [folder for folder in sorted((root / SWEEPS).glob("*")) if (folder / FILE).is_file()]


def _open(folder: Path, root: Path) -> Plan:
    """The sweep with its trials, to look at."""
    return Plan(read(folder, root=root), Ledger(folder, is_driven=False), root, tell=lambda *_: None)


def _is_held(folder: Path) -> bool:
    lock = folder / ".lock"
    if not lock.exists():
        return False
    with try_lock(lock) as is_free:
        return not is_free


def _list(folder: Path, root: Path) -> ListedSweep:
    files = (file for file in folder.glob("*.*") if file.is_file())
    changed_at = max(file.stat().st_mtime for file in files)
    try:
        plan = _open(folder, root)
    except TreadleError as error:
        return ListedSweep(folder, 0, Counter(), f"damaged: {error}", changed_at, measure_all([folder]), None, None, "")
    is_held = _is_held(folder)
    states: Counter[str] = Counter(trial.state for trial in plan.ledger.trials.values())
    if not is_held and states["running"]:
        states["interrupted"] += states.pop("running")
    state = "running" if is_held else "finished" if plan.is_answered else "interrupted"
    rows = plan.rank()
    return ListedSweep(
        folder,
        plan.count_planned(),
        states,
        state,
        changed_at,
        measure_all([folder]),
        plan.sweep.objectives[0],
        rows[0].mean if rows else None,
        _describe(plan.sweep),
    )


def _describe(sweep: Sweep) -> str:
    """`width=16,32  lr=0.0001..0.01  2 seeds`."""
    axes = [f"{axis.key.rpartition('.')[2]}={_describe_values(axis)}" for axis in sweep.space.axes]
    return "  ".join([*axes, *([f"{len(sweep.seeds)} seeds"] if len(sweep.seeds) > 1 else [])])


def _describe_values(axis: Axis) -> str:
    if not isinstance(axis, Choices):
        return f"{axis.low:g}..{axis.high:g}"
    more = f",… ({len(axis.values)})" if len(axis.values) > _SHOWN else ""
    return ",".join(axis.values[:_SHOWN]) + more
