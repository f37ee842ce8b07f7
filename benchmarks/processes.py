"""A fresh process, and what it took: shared by the benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a process said, and took."""

    said: str
    seconds: float  # by the clock on the wall
    peak_gb: float  # of its resident set


def run_python(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Cost:
    """Run code in a process of its own; where it fails, the benchmark ends."""
    start = time.perf_counter()
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"a process failed with {process.returncode}; what it said stands above")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(said, time.perf_counter() - start, usage.ru_maxrss * unit / 1e9)
