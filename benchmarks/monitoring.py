"""Which faults do the charts find, how often do they cry for nothing, and what does it cost? Beside fixed rules.

    python -m venv nannyml && nannyml/bin/pip install nannyml==0.13.1 "pandas<3" statsmodels
    python -m venv evidently && evidently/bin/pip install evidently==0.7.23 "pandas<3"
    python benchmarks/monitoring.py [--nannyml nannyml/bin/python] [--evidently evidently/bin/python] [--no-faults]

The training rows of the flights (January to August, 35 weeks, 217,012 rows) are prepared as `treadle run` does. Each
fault is planted into each week that does not alarm by itself, and judged by charts that are calibrated on all other
weeks. Fixed rules are judged by the same counts, on weeks without a fault: PSI > 0.2 of a column, and a chi-square test
with Bonferroni's correction (Wilson and Hilferty's approximation). Seconds are of one processor.

The peers, whose newest releases fail at import with pandas 3, judge every week once by their default rules: each
seventh week against the weeks that are not judged, seven times over. So do we, in the same run; none of these weeks has
a fault. NannyML's estimate of performance (CBPE) is compared with ours, too, on July and August: the scores are those
of a gradient boosting of January to April, and both calibrate them on May and June.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import numpy as np
import polars as pl

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

from faults import measure_all
from runs import make_project, treadle
from treadle.monitoring.charts import Charts
from treadle.monitoring.estimate import estimate_binary
from treadle.profiles.blocks import Blocking
from treadle.profiles.calendar import find_calendar
from treadle.profiles.calibration import fit_calibration
from treadle.profiles.cells import Cells, fit_cells, list_cells
from treadle.profiles.profile import BLOCK, Profile, count_rows
from treadle.profiles.reference import Performance, Reference
from treadle.schema import LABEL, PREDICT_AT, ROW

PEER = Path(__file__).with_name("monitoring_peer.py")
EVERY = 7  # weeks; the peers judge one of so many against the others
SPLITS = ("2013-05-01", "2013-07-01")  # training, calibration, estimates
LEARN = 50  # trees


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nannyml", type=Path, metavar="PYTHON", help="of an environment with NannyML")
    parser.add_argument("--evidently", type=Path, metavar="PYTHON", help="of an environment with Evidently")
    parser.add_argument("--no-faults", action="store_true", help="the peers alone")
    options = parser.parse_args()
    peers = {name: python.absolute() for name in ("nannyml", "evidently") if (python := getattr(options, name))}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_project(Path(folder))
        treadle("prepare", "experiment=flights_linear", "tracker=disabled")
        (file,) = Path(folder).glob("runs/*/examples/train.parquet")
        rows, columns = read_rows(pl.read_parquet(file))
        if not options.no_faults:
            report(rows, columns)
        if peers:
            compare(rows.collect(), [column.name for column in columns], peers=peers)


def read_rows(examples: pl.DataFrame) -> tuple[pl.LazyFrame, tuple[Cells, ...]]:
    """The rows with their week, and the columns that are monitored."""
    rows = Blocking("week", 0).name_log(examples.lazy(), time=PREDICT_AT)
    schema = examples.schema
    names = [name for name in schema if name not in (LABEL, ROW) and not schema[name].is_temporal()]
    calendar = find_calendar(rows, names, time=PREDICT_AT)
    return rows, tuple(fit_cells(rows, name, bins=20, top=30) for name in names if name not in calendar)


def report(rows: pl.LazyFrame, columns: tuple[Cells, ...]) -> None:
    profile = count_rows(rows, columns, num_paired=len(columns))
    reference = make_reference(columns, profile)
    psi, chi = apply_fixed_rules(reference)
    print(f"{len(columns)} columns; PSI > 0.2 in {psi.min()} to {psi.max()} of them in each normal week, ", end="")
    print(f"chi-square in {chi.min()} to {chi.max()}")
    for season in (False, True):
        measured = measure_all(rows, reference, season=season)
        print(f"season: {season}; {measured.false} of {measured.weeks} weeks alarm without a fault")
        for name, found in measured.found.items():
            print(f"  {name:<36} {found.alarmed} of {found.weeks} weeks; named first in {found.named}")
    report_cost(rows, reference)


def make_reference(columns: tuple[Cells, ...], profile: Profile) -> Reference:
    performance = Performance({}, 0.5, None, None, {})
    return Reference("binary", Blocking("week", 0), columns, {}, len(columns), profile, performance)


def compare(rows: pl.DataFrame, names: list[str], *, peers: dict[str, Path]) -> None:
    """Judge all weeks, which have no fault, by our charts and by the default rules of the peers."""
    weeks = rows[BLOCK].unique().sort().to_list()
    wanted = rows.select(BLOCK, PREDICT_AT, *names)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("treadle", *peers)}
    for first in range(EVERY):
        is_judged = pl.col(BLOCK).is_in(weeks[first::EVERY])
        wanted.filter(~is_judged).write_parquet("reference.parquet")
        wanted.filter(is_judged).write_parquet("log.parquet")
        found["treadle"].append(judge_by_charts(names))
        for name, python in peers.items():
            found[name].append(ask(python, name))
    tell(found, num_rows=EVERY * len(rows))
    if "nannyml" in peers:
        compare_estimates(rows, names, python=peers["nannyml"])


def judge_by_charts(names: list[str]) -> dict[str, Any]:
    """How many columns our charts flag in each week, and the seconds that they take, from the rows on."""
    before, now = pl.read_parquet("reference.parquet"), pl.read_parquet("log.parquet")
    start = time.process_time()
    columns = tuple(fit_cells(before.lazy(), name, bins=20, top=30) for name in names)
    reference = make_reference(columns, count_rows(before.lazy(), columns, num_paired=len(columns)))
    charts = Charts(reference, false_alarms=0.05, season=False)
    found = charts.judge(count_rows(now.lazy(), columns, num_paired=len(columns)))
    seconds = time.process_time() - start
    flagged = [len({name for alarm in week.alarms for name in alarm.signal.columns}) for week in found]
    return {"version": version("treadle"), "flagged": flagged, "seconds": seconds}


def ask(python: Path, name: str) -> dict[str, Any]:
    done = subprocess.run([python, PEER, name, "."], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def tell(found: dict[str, list[dict[str, Any]]], *, num_rows: int) -> None:
    """How many weeks alarm, how many columns each flags, and the time beside ours."""
    seconds = {name: sum(part["seconds"] for part in parts) for name, parts in found.items()}
    for name, parts in found.items():
        flagged = [count for part in parts for count in part["flagged"]]
        weeks = sum(count > 0 for count in flagged)
        print(
            f"{name} {parts[0]['version']}: {weeks} of {len(flagged)} weeks without a fault alarm; columns flagged ",
            end="",
        )
        print(f"{min(flagged)} to {max(flagged)}, median {median(flagged):.0f}; ", end="")
        print(f"{num_rows / seconds[name]:,.0f} rows a second, {seconds[name] / seconds['treadle']:.1f} times ours")


def compare_estimates(rows: pl.DataFrame, names: list[str], *, python: Path) -> None:
    """The estimates of NannyML and ours, week by week, for the same scores."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    numbers = [name for name in names if rows.schema[name].is_numeric()]
    first, second = (pl.lit(text).str.to_datetime("%Y-%m-%d") for text in SPLITS)
    parts = {
        "training": pl.col(PREDICT_AT) < first,
        "reference": (pl.col(PREDICT_AT) >= first) & (pl.col(PREDICT_AT) < second),
        "log": pl.col(PREDICT_AT) >= second,
    }
    inputs = {name: rows.filter(part) for name, part in parts.items()}
    learner = HistGradientBoostingClassifier(max_iter=LEARN, random_state=0)
    learner.fit(inputs["training"].select(numbers).cast(pl.Float64).to_numpy(), inputs["training"][LABEL].to_numpy())
    scored = {}
    for name in ("reference", "log"):
        score = learner.predict_proba(inputs[name].select(numbers).cast(pl.Float64).to_numpy())[:, 1]
        scored[name] = (
            inputs[name]
            .select(BLOCK, PREDICT_AT, LABEL, score=pl.Series(score))
            .with_columns(decision=(pl.col("score") >= 0.5).cast(pl.Int64), label=pl.col(LABEL).cast(pl.Int64))
        )
        scored[name].write_parquet(f"scored_{name}.parquet")
    theirs = ask(python, "cbpe")
    start, known = time.process_time(), scored["reference"]
    calibration = fit_calibration(known["score"].to_numpy(), known[LABEL].to_numpy().astype(np.float64))
    ours = [
        estimate_binary(part["score"].to_numpy(), calibration=calibration, threshold=0.5)
        for part in scored["log"].sort(BLOCK).partition_by(BLOCK, maintain_order=True)
    ]
    seconds = time.process_time() - start
    print(f"CBPE of {len(ours)} weeks, calibrated by NannyML: {theirs['calibrated']}; ", end="")
    for name, own in (("roc_auc", "auroc"), ("accuracy", "accuracy")):
        gap = max(abs(a - b[own]) for a, b in zip(theirs["estimated"][name], ours, strict=True))
        print(f"largest difference in {name} {gap:.1e}; ", end="")
    print(f"NannyML takes {theirs['seconds'] / seconds:.1f} times as long")


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
