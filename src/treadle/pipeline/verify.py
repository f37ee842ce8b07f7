"""`treadle verify`: every stored output compared with its digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from treadle.config.locations import show_path
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.stages import CACHED, STAGES
from treadle.pipeline.cache import Entry, drop_if_damaged, find_entry, list_entries
from treadle.pipeline.locks import try_lock
from treadle.pipeline.record import find_run_damage, list_runs, read_digests, read_signatures, record_damaged


@dataclass(frozen=True)
class Verification:
    """The state of one run, or of one entry of the cache."""

    where: str
    state: str  # OK, damaged, in use, nothing recorded
    details: list[str]


def verify(folders: Sequence[Path], *, root: Path) -> Iterator[Verification]:
    """Verify every output of runs, and without folders of the cache too; the next run replaces a damaged one.

    Raises:
        TreadleError: a folder is no run, or there is none.
    """
    runs = [RunFolder(folder) for folder in folders] or list_runs(root)
    if not runs:
        raise TreadleError("no run found; `treadle run` makes one")
    for run in runs:
        if not run.signatures.is_file():
            rule = f"{run.path} is no run: it has no {run.signatures.name}"
            raise TreadleError(f"{rule}; `treadle run` makes runs, under {RUNS}/")
        yield _verify_run(run, root)
    if not folders:
        for stage in CACHED:
            for entry in list_entries(root, stage):
                yield _verify_entry(entry, root)


def _verify_entry(entry: Entry, root: Path) -> Verification:
    messages: list[str] = []
    with try_lock(entry.lock) as is_held:
        if is_held:
            drop_if_damaged(entry, root=root, notify=messages.append, max_hashed=inf)
    state = "damaged" if messages else "OK" if is_held else "in use"
    return Verification(show_path(entry.folder, root), state, messages)


def _verify_run(folder: RunFolder, root: Path) -> Verification:
    with try_lock(folder.lock) as is_held:
        if not is_held:
            return Verification(show_path(folder.path, root), "in use", [])
        signatures, digests = read_signatures(folder), read_digests(folder)
        recorded = [stage for stage in STAGES if stage.name in signatures and stage.name in digests]
        details = []
        for stage in recorded:
            damage = find_run_damage(folder, stage, max_hashed=inf)
            if damage is not None:
                record_damaged(folder, stage)
                shared = _verify_entry(find_entry(root, stage, signatures[stage.name]), root)
                details += [f"{stage.name:<10} {damage}; the next `treadle run` makes it anew", *shared.details]
    state = "damaged" if details else "OK" if recorded else "nothing recorded"
    return Verification(show_path(folder.path, root), state, details)
