"""Treadle: one composed configuration describes the whole ML lifecycle."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle import runs
    from treadle.bundle import Bundle
    from treadle.learners.load import load
    from treadle.notebook import compose, run
    from treadle.runs.run import Run

__all__ = ["Bundle", "Run", "__version__", "compose", "load", "run", "runs"]
__version__ = "0.1.0"

# Where each lies: imported on first use, so that `import treadle` is fast and stays free of torch.
_PLACES = {
    "Bundle": "treadle.bundle",
    "load": "treadle.learners.load",
    "compose": "treadle.notebook",
    "run": "treadle.notebook",
    "Run": "treadle.runs.run",
}


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name == "runs":
        return import_module("treadle.runs")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'treadle' has no attribute {name!r}")
