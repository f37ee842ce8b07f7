"""The runs of a project: what each has done, its size and score, and what differs; nothing is hashed."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from treadle.disk import read_record
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.stages import STAGES, list_needed
from treadle.metrics.judge import read_monitor
from treadle.metrics.registry import Metric
from treadle.pipeline.disk_use import measure_own
from treadle.pipeline.locks import try_lock
from treadle.pipeline.record import read_digests, read_signatures
from treadle.runs.labels import write_labels
from treadle.runs.marks import find_adopted, find_champions
from treadle.runs.read import Flat, read_leaves, select_shown

StageState = Literal["done", "running", "interrupted", "failed", "pruned", "damaged"]

# How a stage ended in another way than by an error of its own.
_ENDINGS: dict[str | None, StageState]
_ENDINGS = {None: "interrupted", "KeyboardInterrupt": "interrupted", "PrunedError": "pruned"}
_EVENT = re.compile(r"^\d{4}-\d\d-\d\d \S+ (\w+) (begins|done in|failed: (\w+))", re.MULTILINE)  # of run.log


@dataclass(frozen=True)
class Listed:
    """A run as its folder shows it."""

    folder: RunFolder
    stages: Mapping[str, StageState]  # those that began
    is_held: bool  # whether a process is at work in it
    changed_at: float  # when a command last used it [s since 1970]
    values: Flat  # every leaf of the configuration; none where it is damaged
    score: float | None  # the monitored metric on the validation split, of the epoch that was kept
    size: int = 0  # that no other run has, too [bytes]
    label: str = ""  # what differs from the other runs of the same experiment
    adopted_as: str | None = None  # the experiment that was made of it
    promoted_in: str | None = None  # the file of models that names it

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.path.name

    @property
    def experiment(self) -> str:
        """Name of the experiment."""
        return str(self.values.get("name", "?"))

    @property
    def monitor(self) -> Metric | None:
        """The metric that the score is of; None where the configuration is damaged."""
        return read_monitor(self.values)

    @property
    def state(self) -> str:
        """In a few words: what is wrong or under way, else how far it got."""
        for state in ("damaged", "running", "interrupted", "pruned", "failed"):
            found = [stage for stage, its in self.stages.items() if its == state]
            if found:
                return f"{state}: {', '.join(found)}"
        if not self.values:
            return "damaged: resolved.yaml"
        if self.is_held:
            return "running"
        all_stages = [stage.name for stage in list_needed(STAGES[-1].name, self.values)]
        done = [name for name in all_stages if name in self.stages]
        if done == all_stages[: len(done)]:
            return "done" if len(done) == len(all_stages) else f"done up to {done[-1]}" if done else "nothing done"
        return f"done: {', '.join(done)}"


def list_project(root: Path) -> list[Listed]:
    """The runs of a project, the newest first."""
    runs = [_read(folder) for folder in find_folders(root)]
    sizes = measure_own({run.name: run.folder.path for run in runs})
    adopted, promoted = find_adopted(root), find_champions(root, sizes)
    labels = _label(runs)
    marked = (
        replace(
            run,
            size=sizes[run.name],
            label=labels[run.name],
            adopted_as=adopted.get(run.name),
            promoted_in=promoted.get(run.name),
        )
        for run in runs
    )
    return sorted(marked, key=lambda run: (-run.changed_at, run.name))


def find_folders(root: Path) -> list[RunFolder]:
    """Every run folder of a project, also one in which no stage is done; other folders are the user's."""
    folders = [RunFolder(path) for path in sorted((root / RUNS).glob("[!.]*"))]
    return [folder for folder in folders if folder.resolved.is_file() or folder.signatures.is_file()]


def find_last_use(folder: RunFolder) -> float:
    """When a command last ran stages in it, or found them unchanged [s since 1970]."""
    files = (file for file in (folder.resolved, folder.signatures, folder.log) if file.exists())
    return max((file.stat().st_mtime for file in files), default=0.0)


def _read(folder: RunFolder) -> Listed:
    is_held = False
    if folder.lock.exists():
        with try_lock(folder.lock) as is_free:
            is_held = not is_free
    try:
        values = read_leaves(folder.resolved)
    except (OSError, TreadleError):
        values = {}
    stages = _read_stages(folder, is_held=is_held)
    score = _read_score(folder) if "train" in stages else None
    return Listed(folder, stages, is_held, find_last_use(folder), values, score)


def _read_stages(folder: RunFolder, *, is_held: bool) -> dict[str, StageState]:
    signatures, digests = read_signatures(folder), read_digests(folder)
    states: dict[str, StageState] = {}
    for stage in STAGES:
        if stage.name in digests:
            is_whole = stage.name in signatures and _has_files(folder, digests[stage.name])
            states[stage.name] = "done" if is_whole else "damaged"
    last = _find_unfinished(folder)
    if last is not None and states.get(last[0]) != "done":
        states[last[0]] = "running" if is_held else last[1]
    return states


def _has_files(folder: RunFolder, digests: object) -> bool:
    """Whether each output is there and as long as it was; `treadle verify` reads them."""
    try:
        files: Any = digests
        return all((folder.path / name).stat().st_size == size for name, (size, _, _) in files.items())
    except (OSError, AttributeError, TypeError, ValueError):
        return False


def _find_unfinished(folder: RunFolder) -> tuple[str, StageState] | None:
    """The stage that the log saw last, unless it was done."""
    try:
        text = folder.log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    events = [found for found in _EVENT.finditer(text) if found[1] in {stage.name for stage in STAGES}]
    if not events or events[-1][2] == "done in":
        return None
    return events[-1][1], _ENDINGS.get(events[-1][3], "failed")


def _read_score(folder: RunFolder) -> float | None:
    score = (read_record(folder.model / "summary.json") or {}).get("score")
    return score if isinstance(score, float) and math.isfinite(score) else None


def _label(runs: list[Listed]) -> dict[str, str]:
    """Labels as `treadle compare` gives them to the runs of one experiment."""
    groups: dict[str, list[Listed]] = defaultdict(list)
    for run in runs:
        groups[run.experiment].append(run)
    labels = dict.fromkeys((run.name for run in runs), "")
    for group in (group for group in groups.values() if len(group) > 1):
        texts = write_labels([select_shown(run.values) for run in group])
        labels.update(zip((run.name for run in group), texts, strict=True))
    return labels
