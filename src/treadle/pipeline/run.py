"""A run: each stage before the wanted one runs, is shared from another run, or is unchanged."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from treadle.disk import read_text, sweep, write_text
from treadle.errors import TreadleError
from treadle.experiment.identity import name_run, sign_stages
from treadle.experiment.resolved import Resolved, read
from treadle.experiment.run_folder import CACHE, RUNS, RunFolder
from treadle.experiment.stages import Stage, get_stage, list_needed
from treadle.pipeline.cache import drop_if_damaged, find_entry, remove_outs, remove_scratch, sweep_entries
from treadle.pipeline.digests import find_damage, take_digests
from treadle.pipeline.locks import Say, claim
from treadle.pipeline.reading import ChangedError, Reading
from treadle.pipeline.record import (
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


def run(resolved: Resolved, *, root: Path, upto: str, say: Say) -> Run:
    """Bring a run up to a stage: each stage before it runs, is shared from another run, or is unchanged.

    The folder follows from the run's identity. A second process that wants the same folder waits for the first.

    Args:
        resolved: what is run.
        root: the project.
        upto: the last stage.
        say: takes each line of progress.

    Raises:
        ChangedError: a source or a data file was edited while a stage read it.
    """
    reading = Reading(resolved, root=root)
    signatures = _sign(resolved, root=root, say=say)
    folder = RunFolder(root / RUNS / name_run(resolved, signatures))
    current = Run(resolved, signatures, folder, root, say)
    folder.path.mkdir(parents=True, exist_ok=True)
    with claim(folder.lock, say=say, what=str(folder.path.relative_to(root))):
        _sweep(folder)
        write_text(folder.resolved, resolved.dump())
        with open_tracking(current) as tracking:
            for stage in list_needed(upto):
                _bring_up(current, stage, reading, tracking)
    return current


def _sign(resolved: Resolved, *, root: Path, say: Say) -> dict[str, str]:
    """One process at a time hashes data files: what it finds, the next one need not hash."""
    cache = root / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    with claim(cache / ".lock", say=say, what="the cache of hashes"):
        sweep(cache)
        return sign_stages(resolved, root=root)


def _bring_up(current: Run, stage: Stage, reading: Reading, tracking: LazyTracking) -> None:
    signature = current.signatures[stage.name]
    if _is_unchanged(current, stage):
        current.states[stage.name] = "unchanged"
        remove_scratch(current.folder.path, stage)
        return
    entry = find_entry(current.root, stage, signature)
    entry.folder.parent.mkdir(parents=True, exist_ok=True)
    sweep_entries(entry)
    with claim(entry.lock, say=current.say, what=f"stage {stage.name}"):
        drop_if_damaged(entry, root=current.root, say=current.say)
        if entry.exists():
            digests = entry.share(current.folder.path)
            current.states[stage.name] = "shared"
            current.say(f"{stage.name:<10} shared with another run")
        else:
            seconds = _execute(current, stage, reading, tracking)
            digests = entry.publish(current.folder.path)
            current.states[stage.name] = "ran"
            current.say(f"{stage.name:<10} done in {seconds:.1f} s")
    record_done(current.folder, stage, signature, digests)
    remove_scratch(current.folder.path, stage)
    if stage.name in TRACKED:
        TRACKED[stage.name](current.folder, tracking.get())


def _is_unchanged(current: Run, stage: Stage) -> bool:
    """Whether the run has the stage's outputs as they were written; damage is told."""
    if not is_done(current.folder, stage, current.signatures[stage.name]):
        return False
    damage = find_run_damage(current.folder, stage)
    if damage is not None:
        current.say(f"{stage.name:<10} damaged in {current.folder.path.relative_to(current.root)}: {damage}")
    return damage is None


# --- DVC's road ---------------------------------------------------------------------------------------


def run_stage(name: str, *, resolved_file: Path, folder: RunFolder, root: Path, say: Say) -> Run:
    """Run one stage as DVC orders it: what it reads lies in `folder`, what it writes DVC keeps.

    Raises:
        TreadleError: the folder is a command's run, and the configuration is not its own; or the code is not the one
            that the configuration was composed from.
        ChangedError: a source or a data file was edited while the stage read it.
    """
    resolved = read(resolved_file)
    _require_own(folder, resolved)
    stage = get_stage(name)
    reading = Reading(resolved, root=root)
    reading.require_composed_code(stage)
    current = Run(resolved, _sign(resolved, root=root, say=say), folder, root, say)
    folder.path.mkdir(parents=True, exist_ok=True)
    with claim(folder.lock, say=say, what=str(folder.path)):
        _sweep(folder)
        if resolved_file.resolve() != folder.resolved.resolve():
            write_text(folder.resolved, read_text(resolved_file))
        _require_sound_inputs(current, stage)
        with open_tracking(current) as tracking:
            seconds = _execute(current, stage, reading, tracking)
            if name in TRACKED:
                TRACKED[name](folder, tracking.get())
        if folder.signatures.is_file():
            record_done(folder, stage, current.signatures[name], take_digests(folder.path, stage.outs))
        remove_scratch(folder.path, stage)
    say(f"{name:<10} done in {seconds:.1f} s")
    current.states[name] = "ran"
    return current


def _require_own(folder: RunFolder, resolved: Resolved) -> None:
    """A run says in one file what all of its outputs came from."""
    if folder.signatures.is_file() and read(folder.resolved).values != resolved.values:
        raise TreadleError(
            f"--resolved: {folder.path} is a run with a configuration of its own; "
            "name another --folder, or run the other configuration by `treadle run`"
        )


def _require_sound_inputs(current: Run, stage: Stage) -> None:
    """A run's earlier outputs are as they were written; what DVC keeps, it knows itself."""
    for earlier in list_needed(stage.name)[:-1]:
        if earlier.name in read_digests(current.folder):
            damage = find_run_damage(current.folder, earlier)
            if damage is not None:
                raise TreadleError(f"{current.folder.path} is damaged: {damage}; `treadle run` makes it anew")


# --- one stage ----------------------------------------------------------------------------------------


def _execute(current: Run, stage: Stage, reading: Reading, tracking: LazyTracking) -> float:
    """Run a stage from a clean start, and return its seconds; if it fails, no half-written folder remains."""
    current.say(f"{stage.name:<10} …")
    log(current.folder, f"{stage.name} begins")
    remove_outs(current.folder.path, stage)
    start = time.perf_counter()
    try:
        reading.begin(stage)
        STAGE_FUNCTIONS[stage.name](current, tracking)
        _require_untouched(current, stage, reading)
    except BaseException as error:
        for out in stage.outs:
            if (current.folder.path / out).is_dir():
                shutil.rmtree(current.folder.path / out, ignore_errors=True)
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
        remove_scratch(current.folder.path, stage)  # it may have come of what was changed
        raise
    reading.require_code(stage)


def _require_untouched_inputs(current: Run, stage: Stage) -> None:
    recorded = read_digests(current.folder)
    for earlier in (earlier for earlier in list_needed(stage.name)[:-1] if earlier.name in recorded):
        damage = find_damage(current.folder.path, earlier.outs, recorded[earlier.name], max_hashed=0)
        if damage is not None:
            raise ChangedError(
                f"{stage.name}: its input changed: {damage}; nothing is kept; run the same command again"
            )


def _sweep(folder: RunFolder) -> None:
    """Remove what a killed process left in a run's folder, whose lock is held."""
    for written in (folder.path, folder.checkpoints, folder.wandb):
        sweep(written)
    for left in (*folder.path.glob(".tables-*"), folder.wandb / SCRATCH):
        shutil.rmtree(left, ignore_errors=True)
