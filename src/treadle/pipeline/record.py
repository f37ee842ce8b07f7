"""The record of a run in its folder: the stages that are done, the digests of their outputs, and a log."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from treadle.disk import read_record, write_json
from treadle.experiment.identity import name_run
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.spec import AnyExperiment
from treadle.experiment.stages import Stage
from treadle.pipeline.digests import SMALL, Digests, find_damage
from treadle.pipeline.dvc_workspace import find_origin
from treadle.pipeline.locks import Notify
from treadle.tracking import Membership

State = Literal["ran", "shared", "unchanged"]
CodeOrigin = Literal["read", "loaded", "frozen"]  # see `run`
Watch = Callable[[Mapping[str, float], int], None]  # (values of an epoch, step); what it raises ends the training


@dataclass
class Run:
    """A run of the pipeline, and what each of its stages did."""

    resolved: Resolved
    signatures: dict[str, str]
    folder: RunFolder
    root: Path
    notify: Notify  # takes each line of progress
    watch: Watch | None = None  # takes each epoch of the training
    membership: Membership | None = None  # its place in a sweep
    code: CodeOrigin = "read"
    keeps_unsplit: bool = False  # whether examples that it builds are kept for runs of other splits
    unsplit_signature: str | None = None  # of the examples before they are split, as of when `prepare` began
    states: dict[str, State] = field(default_factory=dict)

    @property
    def experiment(self) -> AnyExperiment:
        """What is run."""
        return self.resolved.experiment

    @property
    def name(self) -> str:
        """`<name>-<id>`."""
        return name_run(self.resolved, self.signatures)

    @property
    def record_folder(self) -> RunFolder:
        """Where W&B's record lies: in the run's folder, or in the project that DVC made a copy of."""
        origin = find_origin(self.root)
        return self.folder if origin is None else RunFolder(origin / RUNS / self.name)


def list_runs(root: Path) -> list[RunFolder]:
    """The run folders of a project in which a stage is done, by name."""
    folders = (RunFolder(folder) for folder in sorted((root / RUNS).glob("*")))
    return [folder for folder in folders if folder.signatures.is_file()]


def read_signatures(folder: RunFolder) -> dict[str, str]:
    """The signature of each stage that is done; none where the record is damaged: all stages run again then."""
    record = read_record(folder.signatures) or {}
    return {name: signature for name, signature in record.items() if isinstance(signature, str)}


def read_digests(folder: RunFolder) -> dict[str, object]:
    """The digests of each stage that is done, none where the record is damaged."""
    return read_record(folder.digests) or {}


def is_done(folder: RunFolder, stage: Stage, signature: str) -> bool:
    """Whether the run has the stage's outputs, by its record; `find_run_damage` verifies them."""
    done = read_signatures(folder).get(stage.name) == signature and stage.name in read_digests(folder)
    return done and all((folder.path / output).exists() for output in stage.outputs)


def find_run_damage(folder: RunFolder, stage: Stage, *, max_hashed: float = SMALL) -> str | None:
    """Describe what is damaged in the outputs of a stage that is done; None: nothing is."""
    return find_damage(folder.path, stage.outputs, read_digests(folder).get(stage.name), max_hashed=max_hashed)


def record_done(folder: RunFolder, stage: Stage, signature: str, digests: Digests) -> None:
    """Record that the stage is done."""
    write_json(folder.digests, {**read_digests(folder), stage.name: digests})
    write_json(folder.signatures, {**read_signatures(folder), stage.name: signature})


def record_damaged(folder: RunFolder, stage: Stage) -> None:
    """Record that the stage has to run again."""
    write_json(folder.signatures, {name: s for name, s in read_signatures(folder).items() if name != stage.name})


def log(folder: RunFolder, text: str) -> None:
    """Add a line to run.log."""
    with folder.log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M:%S} {text}\n")


def log_failure(folder: RunFolder, stage: Stage, error: BaseException) -> None:
    """Add an error with its traceback to run.log; where the disk is full, the caller still reports it."""
    error.add_note(f"{folder.log} has the traceback")
    text = "".join(traceback.format_exception(error)).rstrip()
    with suppress(OSError):
        log(folder, f"{stage.name} failed: {type(error).__name__}: {error}\n{text}")
