"""What a worker of any engine does: it takes its log and its environment, runs a function, and says how that ended."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from treadle.sweeps.engines.engine import Ending, PrunedError, Report

Outcome = tuple[Ending, Any, str]  # what the function returned, where it is done; what went wrong, in a line


def prepare(*, log: Path, environment: Mapping[str, str]) -> None:
    """Print into the log, take the environment, and end gracefully when asked to."""
    _redirect(log)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to whoever drives, who asks the workers to end
    signal.signal(signal.SIGTERM, _interrupt)


def _redirect(log: Path) -> None:
    """What the worker and its libraries print goes to its own log."""
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    source = os.open(os.devnull, os.O_RDONLY)
    os.dup2(source, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - as Python calls it
    raise KeyboardInterrupt


def perform(function: str, arguments: Mapping[str, Any], *, report: Report) -> Outcome:
    """Call a function, and give its result or what went wrong; a traceback is printed."""
    outcome: Outcome
    try:
        module, _, name = function.rpartition(".")
        outcome = ("done", getattr(importlib.import_module(module), name)(report=report, **arguments), "")
    except PrunedError as error:
        outcome = ("pruned", None, str(error))
    except KeyboardInterrupt:
        outcome = ("interrupted", None, "interrupted")
    except BaseException as error:  # noqa: BLE001 - the driver reports it
        with suppress(OSError):  # the disk is full
            traceback.print_exc()
        outcome = ("failed", None, _describe_error(error))
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return outcome


def _describe_error(error: BaseException) -> str:
    """Its type and the first line of its message; where that only announces the rest, the last line as well."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    return f"{type(error).__name__}: {text}".removeprefix("TreadleError: ")
