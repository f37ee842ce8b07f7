"""Which faults do the charts find, how often do they cry for nothing, and what does it cost? Beside fixed rules.

    python benchmarks/monitoring.py

The training rows of the flights (January to August, 35 weeks, 217,012 rows) are prepared as `treadle run` does. Each
fault is planted into each week that does not alarm by itself, and judged by charts that are calibrated on all other
weeks. Fixed rules are judged by the same counts, on weeks without a fault: PSI > 0.2 of a column, and a chi-square test
with Bonferroni's correction (Wilson and Hilferty's approximation). Seconds are of one processor.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from faults import measure_all
from runs import make_project, treadle
from treadle.monitoring.charts import Charts
from treadle.profiles.blocks import Blocking
from treadle.profiles.calendar import find_calendar
from treadle.profiles.cells import fit_cells, list_cells
from treadle.profiles.profile import count_rows
from treadle.profiles.reference import Performance, Reference
from treadle.schema import LABEL, PREDICT_AT, ROW


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_project(Path(folder))
        treadle("prepare", "experiment=flights_linear", "tracker=disabled")
        (file,) = Path(folder).glob("runs/*/examples/train.parquet")
        report(pl.read_parquet(file).lazy())


def report(examples: pl.LazyFrame) -> None:
    rows = Blocking("week", 0).name_log(examples, time=PREDICT_AT)
    schema = examples.collect_schema()
    names = [name for name in schema if name not in (LABEL, ROW) and not schema[name].is_temporal()]
    calendar = find_calendar(rows, names, time=PREDICT_AT)
    columns = tuple(fit_cells(rows, name, bins=20, top=30) for name in names if name not in calendar)
    profile = count_rows(rows, columns, num_paired=len(columns))
    performance = Performance({}, 0.5, None, None, {})
    reference = Reference("binary", Blocking("week", 0), columns, {}, len(columns), profile, performance)
    psi, chi = apply_fixed_rules(reference)
    print(f"{len(columns)} columns; PSI > 0.2 in {psi.min()} to {psi.max()} of them in each normal week, ", end="")
    print(f"chi-square in {chi.min()} to {chi.max()}")
    for season in (False, True):
        measured = measure_all(rows, reference, season=season)
        print(f"season: {season}; {measured.false} of {measured.weeks} weeks alarm without a fault")
        for name, found in measured.found.items():
            print(f"  {name:<36} {found.alarmed} of {found.weeks} weeks; named first in {found.named}")
    report_cost(rows, reference)


def apply_fixed_rules(reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """How many columns alarm in each week, against all other weeks."""
    profile, starts = reference.profile, list_cells(reference.columns)
    found = np.zeros((2, len(profile.blocks)), dtype=int)
    for block in range(len(profile.blocks)):
        others = profile.cells.sum(axis=0) - profile.cells[block]
        for index in range(len(reference.columns)):
            part = slice(starts[index], starts[index + 1])
            now, before = profile.cells[block][part] + 0.5, others[part] + 0.5
            p, q = now / now.sum(), before / before.sum()
            found[0, block] += ((p - q) * np.log(p / q)).sum() > 0.2
            found[1, block] += is_significant(now, before, level=0.05 / len(reference.columns))
    return found[0], found[1]


def is_significant(now: np.ndarray, before: np.ndarray, *, level: float) -> bool:
    both = now + before
    expected = [both * part.sum() / both.sum() for part in (now, before)]
    value = sum(((part - mean) ** 2 / mean).sum() for part, mean in zip((now, before), expected, strict=True))
    degrees = len(now) - 1
    spread = 2 / (9 * degrees)
    return (value / degrees) ** (1 / 3) > 1 - spread + NormalDist().inv_cdf(1 - level) * math.sqrt(spread)


def report_cost(rows: pl.LazyFrame, reference: Reference) -> None:
    num_rows = int(reference.profile.rows.sum())
    for name, num_paired in (("columns alone", 0), ("columns and pairs", reference.num_paired)):
        start = time.process_time()
        count_rows(rows, reference.columns, num_paired=num_paired)
        print(f"{name}: {num_rows / (time.process_time() - start):,.0f} rows a second")
    start = time.process_time()
    Charts(reference, false_alarms=0.05, season=False)
    print(f"calibration: {time.process_time() - start:.2f} s")


if __name__ == "__main__":
    main()
