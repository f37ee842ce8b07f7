"""The inputs of a stage, held unchanged while it runs.

A result of an edited source, or of a replaced file, must not be kept under the signature of the inputs before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from treadle.config.locations import show_path
from treadle.errors import TreadleError
from treadle.experiment.file_states import FileState, read_state
from treadle.experiment.fingerprint import fingerprint_code, forget_code, list_sources
from treadle.experiment.identity import list_data_files, list_modules
from treadle.experiment.resolved import Resolved
from treadle.experiment.stages import Stage, list_stages


class ChangedError(TreadleError):
    """An input of a stage is not the one that its signature was computed from."""


class StageInputs:
    """The sources and the data files that signatures are computed from; made just before they are.

    Args:
        resolved: what is run.
        root: the project.
        is_code_loaded: the sources need not be held, since this process has loaded them before.
    """

    def __init__(self, resolved: Resolved, *, root: Path, is_code_loaded: bool = False) -> None:
        self.resolved = resolved
        self.root = root
        self.data = self._read_data()
        stages = list_stages(resolved.values)
        self.modules = {s.name: [] if is_code_loaded else list_modules(resolved.values, s) for s in stages}
        self.sources = {name: list_sources(modules) for name, modules in self.modules.items()}
        self.loaded = set(sys.modules)

    def load_code(self, stage: Stage) -> None:
        """Import the stage's code.

        Raises:
            ChangedError: it was edited before that.
        """
        for module in self.modules[stage.name]:
            with suppress(Exception):  # reported with its place where the class is built
                importlib.import_module(module)
        self.require_unchanged(stage)

    def require_unchanged(self, stage: Stage) -> None:
        """Require that nothing read since the last call was modified.

        Raises:
            ChangedError: a file was written to, even if its content is the same again.
        """
        new = set(sys.modules) - self.loaded
        self.loaded |= new
        sources = {name: source for name, source in self.sources[stage.name].items() if name in new}
        changed = [source.file for source in sources.values() if read_state(source.file) != source.state]
        if not stage.reads:
            data = self._read_data()
            changed += [file for file in {**data, **self.data} if data.get(file) != self.data.get(file)]
        if changed:
            raise ChangedError(
                f"{stage.name}: {self._begin(changed)} written to while the stage read it, so that its result is "
                "not kept; run the same command again"
            )

    def require_same_code(self, stage: Stage) -> None:
        """Require the same code as at the start, comments and docstrings aside.

        Raises:
            ChangedError: it was edited while the stage ran.
        """
        sources = self.sources[stage.name].values()
        changed = [source.file for source in sources if read_state(source.file) != source.state]
        if changed and self._has_other_code(stage):
            back = ", or restore the old source to continue from the last epoch" if stage.name == "train" else ""
            raise ChangedError(
                f"{stage.name}: {self._begin(changed)} edited while the stage ran, so that its result is not kept; "
                f"run the same command again with the new source{back}"
            )

    def require_composed_code(self, stage: Stage, *, fix: str) -> None:
        """Require the code that resolved.yaml was composed from; `fix`: what does that, or helps otherwise.

        Raises:
            ChangedError: the code is another one.
        """
        if self._has_other_code(stage):
            raise ChangedError(
                f"{stage.name}: its code is not the one that resolved.yaml was composed from, and the result would "
                f"have the wrong name; {fix}"
            )

    def _has_other_code(self, stage: Stage) -> bool:
        forget_code()
        return fingerprint_code(self.modules[stage.name]) != self.resolved.code[stage.name]

    def _read_data(self) -> dict[Path, FileState | None]:
        return {file: read_state(file) for file in list_data_files(self.resolved, self.root)}

    def _begin(self, files: Sequence[Path]) -> str:
        """The files that changed, with their verb."""
        rest = f" and {len(files) - 1} more were" if len(files) > 1 else " was"
        return f"{show_path(files[0], self.root)}{rest}"
