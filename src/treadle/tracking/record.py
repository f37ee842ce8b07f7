"""What every tracker's record takes, and the state by which a resumed training goes on in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from treadle.disk import read_record, write_json
from treadle.experiment.run_folder import RunFolder
from treadle.tracking.membership import Membership

_LIBRARIES = {"tensorboard": "tensorboard", "mlflow": "mlflow"}  # by tracker; each is an extra of the same name
_FILE = "record.json"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A run, as trackers record it."""

    folder: RunFolder  # in which records, or what identifies them, lie
    root: Path  # of the project
    name: str  # under which the run is shown
    signature: str  # of what is being trained: the same training goes on in its record, another one begins anew
    config: dict[str, Any]  # the resolved experiment, plain values
    about: dict[str, Any]  # provenance
    membership: Membership | None = None  # the run's place in a sweep


class Place(NamedTuple):
    """Where a record is found."""

    title: str  # of the tracker
    where: str


class Record(Protocol):
    """The open record of a run. A tracker leaves out what it has no place for."""

    @property
    def last_step(self) -> int:
        """The last step that the record holds; -1 before the first."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Log values of one step; a step that the record already holds is skipped."""

    def summarize(self, values: Mapping[str, float]) -> None:
        """Log values of the whole run, such as the metrics of the test split."""

    def log_curve(self, *, name: str, x: str, y: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Log a curve, y over x."""

    def log_page(self, html: str, *, name: str) -> None:
        """Keep a page beside the numbers; one that the record already holds is not kept again."""

    def log_bundle(self, folder: Path, *, name: str) -> None:
        """Upload the bundle, where the configuration asks for it."""


class State:
    """What a record holds, in a file of its folder: the same training continues in the record, another begins anew."""

    def __init__(self, folder: Path, *, signature: str) -> None:
        self._file = folder / _FILE
        known = read_record(self._file) or {}
        self.resumed = known.get("signature") == signature
        self.values: dict[str, Any] = known if self.resumed else {"signature": signature, "last_step": -1}

    @property
    def last_step(self) -> int:
        """The last step that the record holds; -1 before the first."""
        return int(self.values["last_step"])

    def keep(self, **values: Any) -> None:
        """Add values, and write them all."""
        self.values |= values
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, self.values)


class SteppedRecord(ABC):
    """An open record that writes each step at once, and whose state knows the last one."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def last_step(self) -> int:
        """The last step that the record holds; -1 before the first."""
        return self._state.last_step

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Log values of one step; a step that the record already holds is skipped."""
        if step > self.last_step:
            self._write(values, step=step)
            self._state.keep(last_step=step)

    @abstractmethod
    def _write(self, values: Mapping[str, float], *, step: int) -> None:
        """Write values of one step."""


def has_record(folder: Path) -> bool:
    """Whether a record was begun in the folder."""
    return (folder / _FILE).is_file()


def explain_missing(by: str) -> str | None:
    """That the library of a tracker is not installed, and how to install it; None where it is."""
    library = _LIBRARIES.get(by)
    if library is None or find_spec(library) is not None:
        return None
    return f"the tracker {by!r} needs the library {library}, which is not installed: pip install 'treadle[{by}]'"
