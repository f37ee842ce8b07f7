"""The cache of stage outputs: kept by signature, and shared between runs by hard links."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from treadle.disk import read_record, write_json
from treadle.experiment.run_folder import CACHE
from treadle.experiment.stages import Stage
from treadle.pipeline.digests import SMALL, Digests, find_damage, take_digests
from treadle.pipeline.locks import Notify, try_lock

_DIGESTS = "digests.json"  # beside the outputs of an entry
_PARTIAL = ".tmp"  # ending of an entry that is being written
_DAMAGED = ".damaged"  # ending of an entry that was set aside


@dataclass(frozen=True)
class Entry:
    """The outputs of one stage for one signature, which may not exist yet."""

    stage: Stage
    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the process that writes, reads or verifies the entry."""
        return self.folder.with_suffix(".lock")

    def exists(self) -> bool:
        """Whether the cache has the outputs."""
        return self.folder.is_dir()

    def read_digests(self) -> object:
        """The digests of the outputs; None where their record is damaged."""
        return read_record(self.folder / _DIGESTS) or None

    def find_damage(self, *, max_hashed: float = SMALL) -> str | None:
        """Describe what is damaged; None: nothing is."""
        return find_damage(self.folder, self.stage.outputs, self.read_digests(), max_hashed=max_hashed)

    def set_aside(self) -> Path:
        """Rename a damaged entry, so that it can be inspected and is not used; return its folder."""
        aside = self.folder.with_suffix(_DAMAGED)
        shutil.rmtree(aside, ignore_errors=True)
        return self.folder.replace(aside)

    def publish(self, source: Path) -> Digests:
        """Add the outputs in a run's folder to the cache, all of them or none; return their digests."""
        partial = self.folder.with_suffix(_PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _link_outputs(self.stage, source=source, target=partial)
            digests = take_digests(source, self.stage.outputs)
            write_json(partial / _DIGESTS, digests)
            partial.replace(self.folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return digests

    def share(self, target: Path) -> Digests:
        """Link the outputs into a run's folder; return their digests."""
        delete_outputs(target, self.stage)
        _link_outputs(self.stage, source=self.folder, target=target)
        digests = self.read_digests()
        assert isinstance(digests, dict), "an undamaged entry has digests"
        return digests


def find_entry(root: Path, stage: Stage, signature: str) -> Entry:
    """The entry of a stage in the project's cache."""
    return Entry(stage, root / CACHE / stage.name / signature)


def list_entries(root: Path, stage: Stage) -> list[Entry]:
    """Every entry of a stage in the project's cache."""
    folders = (root / CACHE / stage.name).glob("*")
    return [Entry(stage, folder) for folder in sorted(folders) if folder.is_dir() and not folder.suffix]


def drop_if_damaged(entry: Entry, *, root: Path, notify: Notify, max_hashed: float = SMALL) -> bool:
    """Set an entry aside if it is damaged, and report it. The caller holds its lock."""
    damage = entry.find_damage(max_hashed=max_hashed) if entry.exists() else None
    if damage is not None:
        aside = entry.set_aside().relative_to(root)
        notify(f"{entry.stage.name:<10} damaged in the cache: {damage}; set aside as {aside}")
    return damage is not None


def delete_outputs(folder: Path, stage: Stage) -> None:
    """Delete what the stage wrote before."""
    for output in stage.outputs:
        path = folder / output
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def delete_scratch(folder: Path, stage: Stage) -> None:
    """Delete what the stage kept only until its outputs were safe."""
    for name in stage.scratch:
        shutil.rmtree(folder / name, ignore_errors=True)


def delete_partial_entries(entry: Entry) -> None:
    """Delete what killed processes left half written beside an entry, unless another process is writing it."""
    for partial in entry.folder.parent.glob(f"*{_PARTIAL}"):
        with try_lock(partial.with_name(f"{partial.name.split('.')[0]}.lock")) as is_held:
            if is_held:
                shutil.rmtree(partial, ignore_errors=True)


def _link_outputs(stage: Stage, *, source: Path, target: Path) -> None:
    """Link the outputs into another folder, or copy them where the file system has no hard links."""
    for output in stage.outputs:
        if (source / output).is_dir():
            shutil.copytree(source / output, target / output, copy_function=_link)
        else:
            _link(source / output, target / output)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)  # with the time of change, by which a digest knows the file
