"""The outputs of stages as files: removed, kept by signature for other runs, and shared by hard links."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from treadle.disk import read_record, write_json
from treadle.experiment.run_folder import CACHE
from treadle.experiment.stages import Stage
from treadle.pipeline.digests import SMALL, Digests, find_damage, take_digests
from treadle.pipeline.locks import Say, try_claim

_DIGESTS = "digests.json"  # beside the outputs of an entry
_PARTIAL = ".tmp"  # ending of an entry that is being written
_DAMAGED = ".damaged"  # ending of an entry that was set aside


@dataclass(frozen=True)
class Entry:
    """The outputs of one stage for one signature, whether they are there or not."""

    stage: Stage
    folder: Path

    @property
    def lock(self) -> Path:
        """Held by whoever makes, takes or checks the entry."""
        return self.folder.with_suffix(".lock")

    def exists(self) -> bool:
        """Whether outputs were kept."""
        return self.folder.is_dir()

    def read_digests(self) -> object:
        """The digests of the outputs; None where their record is damaged."""
        return read_record(self.folder / _DIGESTS) or None

    def find_damage(self, *, max_hashed: float = SMALL) -> str | None:
        """What is wrong with the outputs."""
        return find_damage(self.folder, self.stage.outs, self.read_digests(), max_hashed=max_hashed)

    def set_aside(self) -> Path:
        """Give a damaged entry another name, so that it can be looked at and is not used; return the folder."""
        aside = self.folder.with_suffix(_DAMAGED)
        shutil.rmtree(aside, ignore_errors=True)
        return self.folder.replace(aside)

    def publish(self, source: Path) -> Digests:
        """Keep the outputs in a run's folder for other runs: all of them or none; return their digests."""
        partial = self.folder.with_suffix(_PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            _link_outs(self.stage, source=source, target=partial)
            digests = take_digests(source, self.stage.outs)
            write_json(partial / _DIGESTS, digests)
            partial.replace(self.folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return digests

    def share(self, target: Path) -> Digests:
        """Give a run's folder the outputs; return their digests."""
        remove_outs(target, self.stage)
        _link_outs(self.stage, source=self.folder, target=target)
        digests = self.read_digests()
        assert isinstance(digests, dict), "a sound entry has digests"
        return digests


def find_entry(root: Path, stage: Stage, signature: str) -> Entry:
    """The entry of a stage in the project's cache."""
    return Entry(stage, root / CACHE / stage.name / signature)


def list_entries(root: Path, stage: Stage) -> list[Entry]:
    """Every entry of a stage in the project's cache."""
    folders = (root / CACHE / stage.name).glob("*")
    return [Entry(stage, folder) for folder in sorted(folders) if folder.is_dir() and not folder.suffix]


def drop_if_damaged(entry: Entry, *, root: Path, say: Say, max_hashed: float = SMALL) -> bool:
    """Set an entry aside if it is damaged, and say so. Its lock is held."""
    damage = entry.find_damage(max_hashed=max_hashed) if entry.exists() else None
    if damage is not None:
        aside = entry.set_aside().relative_to(root)
        say(f"{entry.stage.name:<10} damaged in the cache: {damage}; set aside as {aside}")
    return damage is not None


def remove_outs(folder: Path, stage: Stage) -> None:
    """Leave nothing of what the stage wrote before."""
    for out in stage.outs:
        path = folder / out
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def remove_scratch(folder: Path, stage: Stage) -> None:
    """Remove what the stage kept only until its outputs were safe."""
    for name in stage.scratch:
        shutil.rmtree(folder / name, ignore_errors=True)


def sweep_entries(entry: Entry) -> None:
    """Remove what killed processes left half written beside an entry, where no other process is at work."""
    for partial in entry.folder.parent.glob(f"*{_PARTIAL}"):
        with try_claim(partial.with_name(f"{partial.name.split('.')[0]}.lock")) as is_free:
            if is_free:
                shutil.rmtree(partial, ignore_errors=True)


def _link_outs(stage: Stage, *, source: Path, target: Path) -> None:
    """Give another folder the same outputs, without a copy where the file system allows it."""
    for out in stage.outs:
        if (source / out).is_dir():
            shutil.copytree(source / out, target / out, copy_function=_link)
        else:
            _link(source / out, target / out)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)  # with the time of change, by which a digest knows the file
