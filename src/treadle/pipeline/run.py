"""A run: each stage before the wanted one runs, is shared from another run, or is unchanged."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from treadle.disk import read_text, sweep, write_text
from treadle.errors import TreadleError
from treadle.experiment import resolved
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import Stage, get_stage, list_needed, name_run, sign_stages
from treadle.pipeline.cache import (
    CACHE,
    MEMORY,
    RUNS,
    drop_if_damaged,
    find_entry,
    remove_outs,
    remove_scratch,
    sweep_entries,
)
from treadle.pipeline.digests import find_damage, take_digests
from treadle.pipeline.locks import Say, claim
from treadle.pipeline.reading import ChangedError, Reading
from treadle.pipeline.record import (
    STAGES_FILE,
    Run,
    find_run_damage,
    is_done,
    log,
    log_failure,
    read_digests,
    record_done,
)
from treadle.pipeline.tracked import TRACKED, LazyTracking, open_tracking
from treadle.pipeline.work import STAGE_FUNCTIONS
from treadle.tracking import SCRATCH

# --- a command's road ---------------------------------------------------------------------------------


def run(experiment: Experiment, values: dict[str, Any], *, root: Path, upto: str, say: Say) -> Run:
    """Bring a run up to a stage: each stage before it runs, is shared from another run, or is unchanged.

    The folder follows from the run's identity. A second process that wants the same folder waits for the first.

    Args:
        experiment: checked.
        values: of its resolved.yaml.
        root: the project.
        upto: the last stage.
        say: takes each line of progress.

    Raises:
        ChangedError: a source or a data file was edited while a stage read it.
    """
    reading = Reading(values, root=root)
    signatures = _sign(values, root=root, say=say)
    current = Run(experiment, values, signatures, root / RUNS / name_run(values, signatures), root, say)
    current.folder.mkdir(parents=True, exist_ok=True)
    with claim(current.folder / ".lock", say=say, what=str(current.folder.relative_to(root))):
        _sweep(current.folder)
        write_text(current.folder / resolved.FILE, resolved.dump(values))
        with open_tracking(current) as tracking:
            for stage in list_needed(upto):
                _bring_up(current, stage, reading, tracking)
    return current


def _sign(values: dict[str, Any], *, root: Path, say: Say) -> dict[str, str]:
    """One process at a time hashes data files: what it finds, the next one need not hash."""
    cache = root / RUNS / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    with claim(cache / ".lock", say=say, what="the cache of hashes"):
        sweep(cache)
        return sign_stages(values, root=root, memory=cache / MEMORY)


def _bring_up(current: Run, stage: Stage, reading: Reading, tracking: LazyTracking) -> None:
    signature = current.signatures[stage.name]
    if _is_unchanged(current, stage):
        current.states[stage.name] = "unchanged"
        remove_scratch(current.folder, stage)
        return
    entry = find_entry(current.root, stage, signature)
    entry.folder.parent.mkdir(parents=True, exist_ok=True)
    sweep_entries(entry)
    with claim(entry.lock, say=current.say, what=f"stage {stage.name}"):
        drop_if_damaged(entry, root=current.root, say=current.say)
        if entry.exists():
            digests = entry.share(current.folder)
            current.states[stage.name] = "shared"
            current.say(f"{stage.name:<10} shared with another run")
        else:
            seconds = _execute(current, stage, reading, tracking)
            digests = entry.publish(current.folder)
            current.states[stage.name] = "ran"
            current.say(f"{stage.name:<10} done in {seconds:.1f} s")
    record_done(current.folder, stage, signature, digests)
    remove_scratch(current.folder, stage)
    if stage.name in TRACKED:
        TRACKED[stage.name](current.folder, tracking.get())


def _is_unchanged(current: Run, stage: Stage) -> bool:
    """Whether the run has the stage's outputs as they were written; damage is told."""
    if not is_done(current.folder, stage, current.signatures[stage.name]):
        return False
    damage = find_run_damage(current.folder, stage)
    if damage is not None:
        current.say(f"{stage.name:<10} damaged in {current.folder.relative_to(current.root)}: {damage}")
    return damage is None


# --- DVC's road ---------------------------------------------------------------------------------------


def run_stage(name: str, *, resolved_file: Path, folder: Path, root: Path, say: Say) -> Run:
    """Run one stage as DVC orders it: what it reads lies in `folder`, what it writes DVC keeps.

    Raises:
        TreadleError: the folder is a command's run, and the configuration is not its own; or the code is not the one
            that the configuration was composed from.
        ChangedError: a source or a data file was edited while the stage read it.
    """
    experiment, values = resolved.read(resolved_file)
    _require_own(folder, values)
    stage = get_stage(name)
    reading = Reading(values, root=root)
    reading.require_composed_code(stage)
    current = Run(experiment, values, _sign(values, root=root, say=say), folder, root, say)
    folder.mkdir(parents=True, exist_ok=True)
    with claim(folder / ".lock", say=say, what=str(folder)):
        _sweep(folder)
        if resolved_file.resolve() != (folder / resolved.FILE).resolve():
            write_text(folder / resolved.FILE, read_text(resolved_file))
        _require_sound_inputs(current, stage)
        with open_tracking(current) as tracking:
            seconds = _execute(current, stage, reading, tracking)
            if name in TRACKED:
                TRACKED[name](folder, tracking.get())
        if (folder / STAGES_FILE).is_file():
            record_done(folder, stage, current.signatures[name], take_digests(folder, stage.outs))
        remove_scratch(folder, stage)
    say(f"{name:<10} done in {seconds:.1f} s")
    current.states[name] = "ran"
    return current


def _require_own(folder: Path, values: dict[str, Any]) -> None:
    """A run says in one file what all of its outputs came from."""
    if (folder / STAGES_FILE).is_file() and resolved.read(folder / resolved.FILE)[1] != values:
        raise TreadleError(
            f"--resolved: {folder} is a run with a configuration of its own; "
            "name another --folder, or run the other configuration by `treadle run`"
        )


def _require_sound_inputs(current: Run, stage: Stage) -> None:
    """A run's earlier outputs are as they were written; what DVC keeps, it knows itself."""
    for earlier in list_needed(stage.name)[:-1]:
        if earlier.name in read_digests(current.folder):
            damage = find_run_damage(current.folder, earlier)
            if damage is not None:
                raise TreadleError(f"{current.folder} is damaged: {damage}; `treadle run` makes it anew")


# --- one stage ----------------------------------------------------------------------------------------


def _execute(current: Run, stage: Stage, reading: Reading, tracking: LazyTracking) -> float:
    """Run a stage from a clean start, and return its seconds; if it fails, no half-written folder remains."""
    current.say(f"{stage.name:<10} …")
    log(current.folder, f"{stage.name} begins")
    remove_outs(current.folder, stage)
    start = time.perf_counter()
    try:
        reading.begin(stage)
        STAGE_FUNCTIONS[stage.name](current, tracking)
        _require_untouched(current, stage, reading)
    except BaseException as error:
        for out in stage.outs:
            if (current.folder / out).is_dir():
                shutil.rmtree(current.folder / out, ignore_errors=True)
        log_failure(current.folder, stage, error)
        raise
    seconds = time.perf_counter() - start
    log(current.folder, f"{stage.name} done in {seconds:.2f} s")
    return seconds


def _require_untouched(current: Run, stage: Stage, reading: Reading) -> None:
    """Nothing that the stage read was written to in the meantime, or its result is dropped."""
    try:
        reading.require_read(stage)
        _require_untouched_inputs(current, stage)
    except ChangedError:
        remove_scratch(current.folder, stage)  # it may have come of what was changed
        raise
    reading.require_code(stage)


def _require_untouched_inputs(current: Run, stage: Stage) -> None:
    recorded = read_digests(current.folder)
    for earlier in (earlier for earlier in list_needed(stage.name)[:-1] if earlier.name in recorded):
        damage = find_damage(current.folder, earlier.outs, recorded[earlier.name], max_hashed=0)
        if damage is not None:
            raise ChangedError(
                f"{stage.name}: its input changed: {damage}; nothing is kept; run the same command again"
            )


def _sweep(folder: Path) -> None:
    """Remove what a killed process left in a run's folder, whose lock is held."""
    for written in (folder, folder / "checkpoints", folder / "wandb"):
        sweep(written)
    for left in (*folder.glob(".tables-*"), folder / "wandb" / SCRATCH):
        shutil.rmtree(left, ignore_errors=True)
