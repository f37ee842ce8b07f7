"""What a run folder says of itself: which stages are done, with the digests of their outputs, and a log."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from treadle.disk import read_record, write_json
from treadle.experiment.identity import name_run
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import Stage
from treadle.pipeline.digests import SMALL, Digests, find_damage
from treadle.pipeline.dvc_workspace import find_origin
from treadle.pipeline.locks import Say

State = Literal["ran", "shared", "unchanged"]


@dataclass
class Run:
    """One run folder and what was done in it."""

    resolved: Resolved
    signatures: dict[str, str]
    folder: RunFolder
    root: Path
    say: Say  # takes each line of progress
    states: dict[str, State] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
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
    """The signature of each stage that is done; none where the record is damaged, which makes it anew."""
    record = read_record(folder.signatures) or {}
    return {name: signature for name, signature in record.items() if isinstance(signature, str)}


def read_digests(folder: RunFolder) -> dict[str, object]:
    """The digests of each stage that is done, as far as the record is not damaged."""
    return read_record(folder.digests) or {}


def is_done(folder: RunFolder, stage: Stage, signature: str) -> bool:
    """Whether the run has the stage's outputs, by the record; `find_run_damage` says whether they are sound."""
    done = read_signatures(folder).get(stage.name) == signature and stage.name in read_digests(folder)
    return done and all((folder.path / out).exists() for out in stage.outs)


def find_run_damage(folder: RunFolder, stage: Stage, *, max_hashed: float = SMALL) -> str | None:
    """What is wrong with the outputs of a stage that is done."""
    return find_damage(folder.path, stage.outs, read_digests(folder).get(stage.name), max_hashed=max_hashed)


def record_done(folder: RunFolder, stage: Stage, signature: str, digests: Digests) -> None:
    """Note that the stage is done."""
    write_json(folder.digests, {**read_digests(folder), stage.name: digests})
    write_json(folder.signatures, {**read_signatures(folder), stage.name: signature})


def record_damaged(folder: RunFolder, stage: Stage) -> None:
    """Note that the stage is to be done anew."""
    write_json(folder.signatures, {name: s for name, s in read_signatures(folder).items() if name != stage.name})


def log(folder: RunFolder, text: str) -> None:
    """Add a line to run.log."""
    with folder.log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M:%S} {text}\n")


def log_failure(folder: RunFolder, stage: Stage, error: BaseException) -> None:
    """Add what failed, with its traceback; a disk that is full keeps the error from being told there, not here."""
    error.add_note(f"{folder.log} has the traceback")
    told = "".join(traceback.format_exception(error)).rstrip()
    with suppress(OSError):
        log(folder, f"{stage.name} failed: {type(error).__name__}: {error}\n{told}")
