"""The outputs of a stage as files: removed, kept for other runs, and shared by hard links."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from treadle.experiment.stages import Stage


def remove_outs(folder: Path, stage: Stage) -> None:
    """Leave nothing of what the stage wrote before."""
    for out in stage.outs:
        path = folder / out
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def publish_outs(stage: Stage, *, source: Path, store: Path) -> None:
    """Keep a stage's outputs for other runs: all of them or none."""
    partial = store.with_suffix(f".{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    link_outs(stage, source=source, target=partial)
    partial.replace(store)


def link_outs(stage: Stage, *, source: Path, target: Path) -> None:
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
        shutil.copyfile(source, target)
