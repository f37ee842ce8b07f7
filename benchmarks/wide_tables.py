"""What `treadle init` takes for tables of many columns: seconds and memory, which must not grow by their square.

    python benchmarks/wide_tables.py [--columns 300 1000 3000 10000] [--rows 60]

Each table is numbers of three digits and a target of two classes, in CSV. Its project is made in a process of its own,
git and DVC aside: they see files, whatever their columns.

Measured on 2 busy cores, 60 rows: 300 columns .17 GB, 1,000 .21 GB, 3,000 .35 GB, 10,000 .80 GB and 163 s (all columns
at once took .19, .67 and 5.9 GB, and died beyond).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from processes import run_python

MAKE = """
import sys
from pathlib import Path
from treadle.scaffold.init import Origin, fill
from treadle.scaffold.plan import Request

folder = Path(sys.argv[2])
folder.mkdir()
fill(folder, title="wide", package="wide", origin=Origin([sys.argv[1]]), request=Request("target"))
"""


def write_table(file: Path, *, num_columns: int, num_rows: int) -> None:
    generator = np.random.default_rng(0)
    columns = {f"x{index}": generator.normal(size=num_rows).round(3) for index in range(num_columns)}
    target = np.where(np.arange(num_rows) % 2, "a", "b")
    pl.DataFrame({**columns, "target": target}).write_csv(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, nargs="+", default=[300, 1_000, 3_000, 10_000])
    parser.add_argument("--rows", type=int, default=60)
    options = parser.parse_args()

    print(f"{'columns':>8} {'seconds':>8} {'GB':>6}")
    for num_columns in options.columns:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "table.csv"
            write_table(table, num_columns=num_columns, num_rows=options.rows)
            cost = run_python(MAKE, str(table), str(Path(folder) / "wide"))
        print(f"{num_columns:>8,} {cost.seconds:>8.1f} {cost.peak_gb:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
