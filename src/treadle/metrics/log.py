"""metrics.csv: the training and validation metrics of each epoch."""

from __future__ import annotations

import csv
from pathlib import Path


def read_metrics_log(path: Path) -> list[dict[str, float]]:
    """One row an epoch, by the names of the columns.

    Raises:
        TypeError, ValueError, csv.Error: the file is damaged.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
