"""The GPUs of this machine, counted without importing torch."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
import sys
from functools import cache
from pathlib import Path

_DRIVERS = ("libcuda.so.1", "nvcuda.dll")


@cache
def count_gpus() -> tuple[int, str]:
    """How many GPUs torch can use here, and why there is none."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return 1, ""
    build = _read_torch_build()
    if build == "cpu":
        return 0, "the installed torch is a build for the CPU"
    if build == "hip":
        return (1, "") if Path("/dev/kfd").exists() else (0, "this machine has no AMD GPU")
    count = _count_cuda_devices()
    return (count, "") if count else (0, "the CUDA driver of this machine is missing or finds no GPU")


def _read_torch_build() -> str:
    """`cuda`, `hip` or `cpu`, read from the installed torch/version.py."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "cpu"
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    return next((kind for kind in ("cuda", "hip") if re.search(rf"^{kind}\b.*=\s*['\"]", text, re.MULTILINE)), "cpu")


def _count_cuda_devices() -> int:
    """Ask the driver itself."""
    for name in _DRIVERS:
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0
