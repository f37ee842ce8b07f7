"""Finished runs: their results, compared side by side, and the difference between any two.

`treadle.runs()` lists those of a project, in Python: the room itself can be called.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.runs.run import Run


class _Room(ModuleType):
    def __call__(self, root: str | Path = ".") -> list[Run]:
        """The runs of the project in a folder, by name."""
        from treadle.runs.run import list_runs

        return list_runs(Path(root))


sys.modules[__name__].__class__ = _Room
