"""Run the pipeline: each stage up to the requested one runs, is shared from another run, or is unchanged."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from treadle.disk import delete_partials, read_text, write_json, write_text
from treadle.errors import TreadleError
from treadle.experiment.identity import name_run, sign_stages
from treadle.experiment.resolved import Resolved, read
from treadle.experiment.run_folder import CACHE, RUNS, RunFolder
from treadle.experiment.stages import Stage, get_stage, list_needed
from treadle.pipeline.absent_data import write_absent_data
from treadle.pipeline.cache import delete_outputs, delete_partial_entries, delete_scratch, drop_if_damaged, find_entry
from treadle.pipeline.digests import SMALL, take_digests
from treadle.pipeline.inputs import ChangedError, StageInputs
from treadle.pipeline.locks import Notify, hold_lock
from treadle.pipeline.record import (
    CodeOrigin,
    Run,
    Watch,
    find_run_damage,
    is_done,
    log,
    log_failure,
    read_digests,
    record_done,
)
from treadle.pipeline.tracked import TRACKED, LazyTracking, open_tracking
from treadle.pipeline.unsplit import keep_unsplit
from treadle.pipeline.work import find_function
from treadle.tracking import SCRATCH, Membership

# --- by a command of Treadle --------------------------------------------------------------------------


def run(
    resolved: Resolved,
    *,
    root: Path,
    upto: str,
    notify: Notify,
    watch: Watch | None = None,
    code: CodeOrigin = "read",
    overrides: Sequence[str] | None = None,
    membership: Membership | None = None,
    keeps_unsplit: bool = False,
) -> Run:
    """Ensure the outputs of a stage and of those before it: each runs, is shared from another run, or is unchanged.

    The folder follows from the run's identity. A second process that wants the same folder waits for the first.

    Args:
        resolved: what is run.
        root: the project.
        upto: the last stage.
        notify: prints each line of progress.
        watch: takes each epoch of the training.
        code: where it comes from. `read`: from the files that `resolved` was composed with just before; `loaded`: this
            process holds it, whatever the files contain now; `frozen`: from files that have to be those of then.
        overrides: from which the run was composed, where that is known.
        membership: its place in a sweep, for its record in W&B.
        keeps_unsplit: whether examples that are built are kept before they are split: runs that differ from this one in
            their split alone will follow.

    Raises:
        ChangedError: a source or a data file was edited while a stage read it, or a source of `frozen` code before.
    """
    has_waited = write_absent_data(resolved, root=root, notify=notify)
    inputs = StageInputs(resolved, root=root, is_code_loaded=code == "loaded")
    if code == "frozen" or (code == "read" and has_waited):
        again = "run the same command again" if code == "read" else "begin another sweep by the command of this one"
        for stage in list_needed(upto, resolved.values):
            inputs.require_composed_code(stage, fix=f"put it back, or {again}")
    signatures = _sign(resolved, root=root, notify=notify)
    folder = RunFolder(root / RUNS / name_run(resolved, signatures))
    current = Run(resolved, signatures, folder, root, notify, watch, membership, code, keeps_unsplit)
    folder.path.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.lock, notify=notify, what=str(folder.path.relative_to(root))):
        _delete_leftovers(folder)
        write_text(folder.resolved, resolved.dump())
        if overrides is not None:
            write_json(folder.overrides, list(overrides))
        with open_tracking(current) as tracking:
            for stage in list_needed(upto, resolved.values):
                _ensure_stage(current, stage, inputs, tracking)
    return current


def _sign(resolved: Resolved, *, root: Path, notify: Notify) -> dict[str, str]:
    """Compute the signatures; one process at a time hashes data files, so that each is hashed once."""
    cache = root / CACHE
    cache.mkdir(parents=True, exist_ok=True)
    with hold_lock(cache / ".lock", notify=notify, what="the cache of hashes"):
        delete_partials(cache)
        return sign_stages(resolved, root=root)


def _ensure_stage(current: Run, stage: Stage, inputs: StageInputs, tracking: LazyTracking) -> None:
    signature = current.signatures[stage.name]
    if _is_unchanged(current, stage):
        current.states[stage.name] = "unchanged"
        delete_scratch(current.folder.path, stage)
        _track(current, stage, tracking, only_another=True)
        return
    entry = find_entry(current.root, stage, signature)
    entry.folder.parent.mkdir(parents=True, exist_ok=True)
    delete_partial_entries(entry)
    with hold_lock(entry.lock, notify=current.notify, what=f"stage {stage.name}"):
        drop_if_damaged(entry, root=current.root, notify=current.notify)
        if entry.exists():
            digests = entry.share(current.folder.path)
            current.states[stage.name] = "shared"
            current.notify(f"{stage.name:<10} shared with another run")
        else:
            seconds = _execute(current, stage, inputs, tracking)
            digests = entry.publish(current.folder.path)
            keep_unsplit(current)
            current.states[stage.name] = "ran"
            current.notify(f"{stage.name:<10} done in {seconds:.1f} s")
    record_done(current.folder, stage, signature, digests)
    delete_scratch(current.folder.path, stage)
    _track(current, stage, tracking)


def _track(current: Run, stage: Stage, tracking: LazyTracking, *, only_another: bool = False) -> None:
    """Log what a stage gave; `only_another`: where the record is another than the one that has it."""
    if stage.name in TRACKED and (not only_another or tracking.is_another):
        TRACKED[stage.name](current, tracking.get())


def _is_unchanged(current: Run, stage: Stage) -> bool:
    """Whether the run has the stage's outputs as they were written; damage is reported."""
    if not is_done(current.folder, stage, current.signatures[stage.name]):
        return False
    damage = find_run_damage(current.folder, stage)
    if damage is not None:
        current.notify(f"{stage.name:<10} damaged in {current.folder.path.relative_to(current.root)}: {damage}")
    return damage is None


# --- by DVC -------------------------------------------------------------------------------------------


def run_stage(name: str, *, resolved_file: Path, folder: RunFolder, root: Path, notify: Notify) -> Run:
    """Run one stage as DVC calls it: its inputs lie in `folder`, and DVC keeps its outputs.

    Raises:
        TreadleError: the folder is a run of `treadle run` with another configuration; or the code is not the one that
            the configuration was composed from.
        ChangedError: a source or a data file was edited while the stage read it.
    """
    resolved = read(resolved_file)
    _require_own(folder, resolved)
    stage = get_stage(name, resolved.values)
    write_absent_data(resolved, root=root, notify=notify)
    inputs = StageInputs(resolved, root=root)
    inputs.require_composed_code(stage, fix="`dvc repro` composes first, or `treadle compose -o FILE` does")
    current = Run(resolved, _sign(resolved, root=root, notify=notify), folder, root, notify)
    folder.path.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder.lock, notify=notify, what=str(folder.path)):
        _delete_leftovers(folder)
        if resolved_file.resolve() != folder.resolved.resolve():
            write_text(folder.resolved, read_text(resolved_file))
        _require_intact_inputs(current, stage)
        with open_tracking(current) as tracking:
            seconds = _execute(current, stage, inputs, tracking)
            if name in TRACKED:
                TRACKED[name](current, tracking.get())
        if folder.signatures.is_file():
            record_done(folder, stage, current.signatures[name], take_digests(folder.path, stage.outputs))
        delete_scratch(folder.path, stage)
    notify(f"{name:<10} done in {seconds:.1f} s")
    current.states[name] = "ran"
    return current


def _require_own(folder: RunFolder, resolved: Resolved) -> None:
    """All outputs of a run come from the one configuration in its folder."""
    if folder.signatures.is_file() and read(folder.resolved).values != resolved.values:
        raise TreadleError(
            f"--resolved: {folder.path} is a run with another configuration; "
            "name another --folder, or run the other configuration by `treadle run`"
        )


def _require_intact_inputs(current: Run, stage: Stage) -> None:
    """Require the outputs of earlier stages as they were written; DVC verifies those that it keeps."""
    damage = _find_input_damage(current, stage, max_hashed=SMALL)
    if damage is not None:
        raise TreadleError(f"{current.folder.path} is damaged: {damage}; `treadle run` makes it again")


# --- one stage ----------------------------------------------------------------------------------------


def _execute(current: Run, stage: Stage, inputs: StageInputs, tracking: LazyTracking) -> float:
    """Run a stage from a clean start, and return its seconds; if it fails, no half-written folder remains."""
    current.notify(f"{stage.name:<10} …")
    log(current.folder, f"{stage.name} begins")
    delete_outputs(current.folder.path, stage)
    start = time.perf_counter()
    try:
        inputs.load_code(stage)
        find_function(current, stage)(current, tracking)
        _require_untouched(current, stage, inputs)
    except BaseException as error:
        for output in stage.outputs:
            if (current.folder.path / output).is_dir():
                shutil.rmtree(current.folder.path / output, ignore_errors=True)
        log_failure(current.folder, stage, error)
        raise
    seconds = time.perf_counter() - start
    log(current.folder, f"{stage.name} done in {seconds:.2f} s")
    return seconds


def _require_untouched(current: Run, stage: Stage, inputs: StageInputs) -> None:
    """Require that no input of the stage was modified while it ran; else its result is dropped."""
    try:
        inputs.require_unchanged(stage)
        _require_untouched_inputs(current, stage)
    except ChangedError:
        delete_scratch(current.folder.path, stage)  # it may come from modified inputs
        raise
    inputs.require_same_code(stage)


def _require_untouched_inputs(current: Run, stage: Stage) -> None:
    damage = _find_input_damage(current, stage, max_hashed=0)
    if damage is not None:
        raise ChangedError(f"{stage.name}: its input changed: {damage}; nothing is kept; run the same command again")


def _find_input_damage(current: Run, stage: Stage, *, max_hashed: float) -> str | None:
    """Describe what is damaged in the outputs of earlier stages, as far as the run has recorded them."""
    recorded = read_digests(current.folder)
    earlier = (each for each in list_needed(stage.name, current.resolved.values)[:-1] if each.name in recorded)
    damages = (find_run_damage(current.folder, each, max_hashed=max_hashed) for each in earlier)
    return next((damage for damage in damages if damage is not None), None)


def _delete_leftovers(folder: RunFolder) -> None:
    """Delete what a killed process left in a run's folder. The caller holds its lock."""
    for written in (folder.path, folder.checkpoints, folder.wandb):
        delete_partials(written)
    for left in (*folder.path.glob(".tables-*"), folder.wandb / SCRATCH):
        shutil.rmtree(left, ignore_errors=True)
