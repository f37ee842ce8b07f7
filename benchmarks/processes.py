"""A fresh process, and what it took: shared by the benchmarks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

# What `wait` tells of a process on Linux is no less than the memory that its parent had when it began.
TELL_PEAK = """
import resource, sys
from pathlib import Path
if sys.platform == "linux":
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@dataclass(frozen=True)
class Cost:
    """What a process said, and took."""

    said: str
    seconds: float  # by the clock on the wall
    peak_gb: float  # of its resident set


def run_python(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Cost:
    """Run code in a process of its own; where it fails, the benchmark ends."""
    start = time.perf_counter()
    command = [sys.executable, "-c", code + TELL_PEAK, *arguments]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if process.returncode:
        raise SystemExit(f"a process failed with {process.returncode}; what it said stands above")
    *said, peak = process.stdout.splitlines()
    return Cost("\n".join(said), time.perf_counter() - start, int(peak) / 1e9)
