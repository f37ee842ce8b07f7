"""`treadle gc`: remove the runs, and the outputs in the cache of stages, that nothing needs.

What goes is renamed aside first, under its lock, and deleted then: whenever the process is killed, a run is there as a
whole or not at all, and the next `treadle gc` deletes what is left.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from treadle.errors import TreadleError
from treadle.experiment.run_folder import CACHE, RUNS, RunFolder
from treadle.experiment.stages import CACHED
from treadle.pipeline.disk_use import measure_freed
from treadle.pipeline.listing import Listed, find_last_use
from treadle.pipeline.locks import try_lock
from treadle.pipeline.record import read_signatures

CHAMPION = "champion"  # in what is kept: runs that models/ names; they are kept anyway

_ASIDE = "gc.removed"  # beside what is removed: the folder in which it is deleted, on the same file system
_LOCK = f"{CACHE}/.gc.lock"
_RULE = re.compile(r"(best|newest):([0-9]+)")


@dataclass(frozen=True)
class Keep:
    """What to keep beside what is needed."""

    best: int = 0  # of each experiment and monitored metric
    newest: int = 0  # of all runs


@dataclass(frozen=True)
class Item:
    """A folder that is to go."""

    path: Path
    lock: Path  # held by whoever works in it
    last_use: Callable[[], float]  # [s since 1970]
    changed_at: float  # its last use when this was planned
    is_run: bool


@dataclass(frozen=True)
class Plan:
    """What is kept, and why; and what is to go."""

    kept: dict[str, str]  # name of a run: reason
    items: list[Item]  # runs, then outputs in the cache
    leftovers: list[Path]  # of a `treadle gc` that was killed

    def measure_leftovers(self) -> int:
        """What removing the leftovers frees [bytes]."""
        return measure_freed(self.leftovers)


def parse_keep(texts: Sequence[str]) -> Keep:
    """What `--keep best:3,newest:10` asks for.

    Raises:
        TreadleError: it is not of that form, or nothing is asked for.
    """
    words = [word.strip() for text in texts for word in text.split(",")]
    if not words:
        raise TreadleError(
            "say what to keep: --keep best:3,newest:10 keeps the 3 best runs of each experiment and the 10 newest, "
            f"--keep {CHAMPION} only what is needed. Runs are always kept that a sweep needs, that an experiment was "
            "adopted from, that models/ names, or that are in use; --dry-run shows what would go"
        )
    numbers: dict[str, int] = {}
    for word in words:
        found = _RULE.fullmatch(word)
        if found is None and word != CHAMPION:
            raise TreadleError(f"--keep {word}: write best:N, newest:N or {CHAMPION}, such as best:3,newest:10")
        if found is not None:
            numbers[found[1]] = max(numbers.get(found[1], 0), int(found[2]))
    return Keep(**numbers)


def plan_removal(
    runs: Sequence[Listed], keep: Keep, *, root: Path, needed: Mapping[str, str], older_than: timedelta = timedelta()
) -> Plan:
    """What is to go.

    Args:
        runs: all of the project, the newest first.
        keep: what to keep beside what is needed.
        root: the project.
        needed: the runs that something outside of this room needs, each with the reason.
        older_than: nothing goes that was used since.
    """
    limit = time.time() - older_than.total_seconds()
    kept = _find_kept(runs, keep, needed=needed, limit=limit)
    gone = [_make_run_item(run) for run in runs if run.name not in kept]
    unused = _list_unused(root, {item.path for item in gone}, limit=limit)
    return Plan(kept, [*gone, *unused], _list_leftovers(root))


def measure_plan(plan: Plan) -> int:
    """What the plan would free [bytes]."""
    return measure_freed([*(item.path for item in plan.items), *plan.leftovers])


def carry_out(plan: Plan, *, root: Path) -> Iterator[tuple[Item, int | None]]:
    """Remove what is planned; each item with the bytes that it freed, or None where it is in use, or was used since.

    Raises:
        TreadleError: another process does the same.
    """
    with _alone(root):
        for leftover in _list_leftovers(root):
            shutil.rmtree(leftover)
        for item in plan.items:
            yield item, _remove(item)


def _find_kept(runs: Sequence[Listed], keep: Keep, *, needed: Mapping[str, str], limit: float) -> dict[str, str]:
    kept = {run.name: "in use" for run in runs if run.is_held}
    kept = {run.name: f"models/{run.promoted_in} names it" for run in runs if run.promoted_in is not None} | kept
    kept = {run.name: f"adopted as {run.adopted_as}" for run in runs if run.adopted_as is not None} | kept
    kept = {run.name: needed[run.name] for run in runs if run.name in needed} | kept
    for place, run in enumerate(runs[: keep.newest], start=1):
        kept.setdefault(run.name, f"newest {place}")
    for run, reason in _list_best(runs, keep.best):
        kept.setdefault(run.name, reason)
    for run in runs:
        if run.changed_at > limit:
            kept.setdefault(run.name, "used recently")
    return kept


def _list_best(runs: Sequence[Listed], number: int) -> Iterator[tuple[Listed, str]]:
    """The best runs of each experiment and monitored metric."""
    groups: dict[tuple[str, str], list[Listed]] = {}
    for run in runs:
        if run.score is not None and run.monitor is not None:
            groups.setdefault((run.experiment, run.monitor.name), []).append(run)
    for (experiment, monitor), group in groups.items():
        sign = -1 if group[0].monitor is not None and group[0].monitor.higher_is_better else 1
        ranked = sorted(group, key=lambda run: sign * (run.score or 0.0))
        for place, run in enumerate(ranked[:number], start=1):
            yield run, f"best {place} of {experiment} by valid/{monitor}"


def _make_run_item(run: Listed) -> Item:
    folder = run.folder
    return Item(folder.path, folder.lock, partial(find_last_use, folder), run.changed_at, is_run=True)


def _find_change(path: Path) -> float:
    return path.stat().st_mtime


def _list_unused(root: Path, gone: Iterable[Path], *, limit: float) -> Iterator[Item]:
    """Outputs in the cache that no run has which stays, and what was set aside there as damaged, or half written."""
    gone = set(gone)
    staying = (RunFolder(path) for path in (root / RUNS).glob("[!.]*") if path not in gone)
    used = {(name, signature) for folder in staying for name, signature in read_signatures(folder).items()}
    for stage in CACHED:
        for path in sorted((root / CACHE / stage.name).glob("*")):
            if path.name == _ASIDE or not path.is_dir():
                continue
            changed_at = path.stat().st_mtime
            if (stage.name, path.name) not in used and changed_at <= limit:
                lock = path.with_name(f"{path.name.partition('.')[0]}.lock")
                yield Item(path, lock, partial(_find_change, path), changed_at, is_run=False)


def _remove(item: Item) -> int | None:
    """Whoever waits for the lock makes the folder anew: it is held until the old one is gone."""
    if not item.path.is_dir():
        return 0
    with try_lock(item.lock) as is_held:
        if not is_held or item.last_use() != item.changed_at:
            return None
        freed = measure_freed([item.path])
        aside = item.path.with_name(_ASIDE)
        aside.mkdir(exist_ok=True)
        item.path.rename(aside / item.path.name)
        shutil.rmtree(aside)
        return freed


def _list_leftovers(root: Path) -> list[Path]:
    asides = (folder / _ASIDE for folder in (root / RUNS, *(root / CACHE / stage.name for stage in CACHED)))
    return [aside for aside in asides if aside.is_dir()]


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    (root / CACHE).mkdir(parents=True, exist_ok=True)
    with try_lock(root / _LOCK) as is_free:
        if not is_free:
            raise TreadleError("another `treadle gc` is at work here")
        yield
