"""What is known after each epoch: a row of `metrics.csv`, which a listener, such as W&B, gets as well; and a line."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from treadle.disk import write_json
from treadle.experiment.run_folder import RunFolder

EpochLog = Callable[[Mapping[str, float], int], None]  # (values, step)


class EpochFile:
    """Writes each epoch's row as soon as it is known."""

    def __init__(self, path: Path, *, listen: EpochLog) -> None:
        self.path = path
        self.listen = listen

    def clear(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)

    def add(self, row: Mapping[str, float]) -> None:
        """Write the row, and pass it on."""
        self.append(row)
        self.listen(select_values(row), int(row["step"]))

    def append(self, row: Mapping[str, float]) -> None:
        """Write the row."""
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(row)
            writer.writerow(int(v) if name in {"epoch", "step"} else repr(v) for name, v in row.items())


def select_values(row: Mapping[str, float]) -> dict[str, float]:
    """The row without its step, which is passed beside it."""
    return {name: value for name, value in row.items() if name != "step"}


def show_scores(scores: Mapping[str, float], *, monitor: str) -> str:
    """The validation loss, and the monitored metric where it is another."""
    return "  ".join(f"valid {name} {scores[name]:.5f}" for name in dict.fromkeys(("loss", monitor)))


def write_line(line: str) -> None:
    """Print a line about the training."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_summary(folder: RunFolder, summary: Mapping[str, Any], *, kept: Mapping[str, float]) -> None:
    """Write the summary of a training, and the validation metrics of the epoch that is kept.

    Args:
        folder: of the run.
        summary: plain values, besides the best epoch.
        kept: the epoch's row of `metrics.csv`.
    """
    best = {"best_epoch": int(kept["epoch"])}
    valid = {key.removeprefix("valid/"): value for key, value in kept.items() if key.startswith("valid/")}
    numbers = {name: value if math.isfinite(value) else None for name, value in valid.items()}  # JSON knows no NaN
    folder.model.mkdir(parents=True, exist_ok=True)
    write_json(folder.model / "summary.json", {**best, **summary})
    write_json(folder.validation, {**best, "valid": numbers})
