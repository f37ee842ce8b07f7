"""What the fork server of this machine's workers imports before the first trial, held as it was hashed.

multiprocessing's fork server ignores `sys.path` and swallows an ImportError, so that `load` sets the path itself; it
reports nothing there: a worker does, which calls it again.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError
from treadle.experiment.file_states import read_state
from treadle.experiment.fingerprint import fingerprint_modules
from treadle.experiment.imports import SourceFile
from treadle.sweeps.engines.engine import Report

_PATHS, _SOURCES = "TREADLE_PRELOAD_PATHS", "TREADLE_PRELOAD_SOURCES"


def declare(*, paths: Sequence[str], sources: Mapping[str, SourceFile]) -> None:
    """Say what a server that starts from now on holds."""
    plain = {name: [str(source.file), *(source.state or ())] for name, source in sources.items()}
    os.environ[_PATHS], os.environ[_SOURCES] = json.dumps(list(paths)), json.dumps(plain)


def withdraw() -> None:
    """A server that starts from now on holds nothing."""
    for name in (_PATHS, _SOURCES):
        os.environ.pop(name, None)


def load() -> str:
    """Import and hash what the trials need; gives what failed, or nothing.

    No tensor is computed: threads survive no fork. Each trial records the hashes in its bundle, and would parse all
    sources for them, a quarter of a short trial's time.
    """
    for path in json.loads(os.environ.get(_PATHS, "[]")):
        if path not in sys.path:
            sys.path.append(path)
    for module in _read_sources():
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - code of the user's may raise anything; the trial reports it
            return f"{module} cannot be imported: {type(error).__name__}: {error}"
    fingerprint_modules(_read_sources())
    return ""


def _read_sources() -> dict[str, list[Any]]:
    sources: dict[str, list[Any]] = json.loads(os.environ.get(_SOURCES, "{}"))
    return sources


def hold_code(*, report: Report) -> None:  # noqa: ARG001 - as a job is called
    """The first job: the server has imported the code by now, and until now no source may have been edited.

    Raises:
        TreadleError: one was.
    """
    for file, *state in _read_sources().values():
        if list(read_state(Path(file)) or ()) != state:
            raise TreadleError(f"{file} was edited while the sweep started; run the same command again")


load()
gc.freeze()  # what is loaded stays: a garbage collection of a trial would write to its pages, and so copy them
