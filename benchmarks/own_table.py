"""Tables as they are, through `treadle init`, `make demo` and `make test`; beside hand-written experiments.

    python benchmarks/own_table.py --data DIR [--quick] [--only adult ...] [--keep DIR]

DIR holds the tables by the paths of TABLES below (public data sets; those that are absent are left out). Each project
is made in a temporary folder, installs its own environment and runs, with nothing edited. Printed is the test metric of
the project's model, its ratio to LightGBM with default settings on the same rows and inputs (in the same run), and to
the experiment that ships with Treadle where there is one (run here, too).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Table:
    """A table, and what is asked of it."""

    path: str
    target: str
    metric: str
    more: tuple[str, ...] = ()
    shipped: str | None = None  # experiment


TABLES = {
    "adult": Table("adult/adult.parquet", "income", "accuracy", shipped="adult"),
    "california": Table("california/california.parquet", "MedHouseVal", "rmse", shipped="california"),
    "diamonds": Table("diamonds/diamonds.parquet", "price", "rmse", shipped="diamonds"),
    "compas": Table("compas/compas_two_year.csv", "two_year_recid", "auroc"),
    "women_reviews": Table("women_reviews/reviews.parquet", "Recommended IND", "auroc"),
    "parking": Table("parking/parking.parquet", "Occupancy", "rmse", ("--time", "LastUpdated")),
    "acs_employment_ma": Table("acs_employment_ma/acs.parquet", "employed", "auroc"),
}


def run(folder: Path, *command: str) -> float:
    """Seconds; output is shown where it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - start


def read(folder: Path) -> dict[str, dict[str, float]]:
    return json.loads((folder / "evaluation" / "metrics.json").read_text())


def judge(name: str, table: Table, data: Path, folder: Path) -> dict[str, object]:
    given = ["--from", str((data / table.path).resolve()), "--target", table.target, *table.more]
    seconds = {"init s": run(folder, sys.executable, "-m", "treadle", "init", name, *given)}
    python = f"PYTHON={sys.executable}"
    seconds["demo s"] = run(folder / name, "make", "demo", python)
    seconds["test s"] = run(folder / name, "make", "test", python)
    metrics = read(folder / name / "artifacts")
    value, boosting = metrics["model"][table.metric], metrics["gradient_boosting"][table.metric]
    result: dict[str, object] = {"table": name, "metric": table.metric, "value": round(value, 4)}
    result["/ LightGBM"] = round(value / boosting, 4)
    if table.shipped is not None:
        run(ROOT, sys.executable, "-m", "treadle", "run", f"experiment={table.shipped}")
        runs = sorted((ROOT / "runs").glob(f"{table.shipped}-*/evaluation"), key=lambda path: path.stat().st_mtime)
        result["/ hand-written"] = round(value / read(runs[-1].parent)["model"][table.metric], 4)
    return result | {key: round(value, 1) for key, value in seconds.items()}


def show(found: dict[str, object]) -> None:
    """A line of the table."""
    names = f"{found['table']:<20} {found['metric']:<9} {found['value']:>8}"
    ratios = f"{found['/ LightGBM']:>11} {found.get('/ hand-written', '-'):>15}"
    print(f"{names} {ratios} {found['init s']:>5} s {found['demo s']:>5} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the projects here, and leave them")
    parser.add_argument("--quick", action="store_true", help="the first table that is there, alone")
    options = parser.parse_args()
    present = [name for name in options.only if (options.data / TABLES[name].path).is_file()]
    if options.quick:
        present = present[:1]
    print(f"{'table':<20} {'metric':<9} {'value':>8} {'/ LightGBM':>11} {'/ hand-written':>15} {'init':>7} {'demo':>7}")
    ratios = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in present:
            found = judge(name, TABLES[name], options.data, options.keep or Path(temporary))
            show(found)
            ratios[name] = {key: value for key, value in found.items() if key.startswith("/")}
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
