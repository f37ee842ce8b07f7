"""What a model costs: parameters, bytes, and the processor's time for some rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treadle.evaluation.evaluated import Evaluated

_WARM_UP = 3  # predictions that are not timed
_REPEATS = 9  # of which the median counts


@dataclass(frozen=True)
class Cost:
    """What was found."""

    parameters: int | None  # of its networks; None: it has none
    bytes: int  # of the bundle's files
    times: Mapping[int, float] = field(default_factory=dict)  # processor's time by number of rows [ms]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        times = {str(rows): taken for rows, taken in self.times.items()}
        return {"parameters": self.parameters, "bytes": self.bytes, "ms": times}

    def to_numbers(self) -> dict[str, float]:
        """All of it."""
        parameters = {} if self.parameters is None else {"parameters": float(self.parameters)}
        return {**parameters, "bytes": float(self.bytes), **{f"ms_{n}_rows": taken for n, taken in self.times.items()}}


def find_cost(evaluated: Evaluated) -> Cost:
    """Parameters and bytes; times of `evaluation.timed_rows`, as far as the test split has so many."""
    wanted = {rows: measure_time(evaluated, rows=rows) for rows in evaluated.experiment.evaluation.timed_rows}
    times = {rows: taken for rows, taken in wanted.items() if taken is not None}
    return Cost(evaluated.training.get("num_parameters"), measure_size(evaluated.folder.bundle), times)


def measure_size(bundle: Path) -> int:
    """All files together [bytes]."""
    return sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file())


def measure_time(evaluated: Evaluated, *, rows: int) -> float | None:
    """The processor's time for the first test rows, by the median of nine predictions [ms]; None of too few rows."""
    frame = evaluated.test.head(rows).collect()
    if len(frame) < rows:
        return None
    times = []
    for _ in range(_WARM_UP + _REPEATS):
        start = time.process_time()
        evaluated.bundle.predict(frame, on_breach="allow")
        times.append(1000 * (time.process_time() - start))
    return sorted(times[_WARM_UP:])[_REPEATS // 2]
