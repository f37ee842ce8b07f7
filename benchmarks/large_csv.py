"""How much memory and time do `prepare` and `treadle init` need for a large CSV? Each in a fresh process.

    python benchmarks/large_csv.py [--quick] [--gigabytes 1.0] [--folder DIR]

Writes a CSV of 40 mixed columns into a temporary folder (of DIR: three times the size must be free there), then runs
`treadle.data.prepare.prepare` on it, what `treadle init` does before it hands the data to DVC, and `polars.read_csv` of
the same file for scale. Peak memory is the peak resident set that the operating system reports of the process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from processes import run_python

ROWS = 100_000  # that are made at once
PREPARE = """
import json, sys
from datetime import datetime
from pathlib import Path
from treadle.data.prepare import prepare
from treadle.experiment.spec import Data
folder = Path(sys.argv[1])
data = Data.model_validate(json.loads((folder / "data.json").read_text()))
prepare(data, root=folder, folder=folder / "examples", now=datetime(2026, 1, 1))
"""
INIT = """
import sys
from pathlib import Path
from treadle.scaffold.init import Origin, fill
from treadle.scaffold.plan import Request
folder = Path(sys.argv[1])
project = folder / "project"
project.mkdir()
origin = Origin([str(folder / "large.csv")])
fill(project, title="large", package="large", origin=origin, request=Request("yes"))
"""
READ = "import sys; import polars; polars.read_csv(sys.argv[1] + '/large.csv', try_parse_dates=True)"


def make_rows(start: int, generator: np.random.Generator) -> pl.DataFrame:
    """Whole numbers, fractions, words of few and of many values, days, moments, truth values."""
    whole = {f"whole_{i}": generator.integers(0, 10 ** (1 + i % 6), ROWS) for i in range(11)}
    parts = {f"part_{i}": np.round(generator.normal(0, 10 ** (i % 4), ROWS), 1 + i % 5) for i in range(14)}
    levels = np.array([f"level {i}" for i in range(50)])
    words = {f"word_{i}": levels[generator.integers(0, 5 + 5 * i, ROWS)] for i in range(8)}
    codes = {f"code_{i}": pl.Series(generator.integers(0, 2**40, ROWS)).cast(pl.String) for i in range(2)}
    days = pl.Series(generator.integers(15_000, 20_000, ROWS)).cast(pl.Int32).cast(pl.Date)
    seconds = [pl.Series(generator.integers(1_500_000_000, 1_700_000_000, ROWS)) for _ in range(2)]
    moments = {f"moment_{i}": (values * 1_000_000).cast(pl.Datetime("us")) for i, values in enumerate(seconds)}
    number = np.arange(start, start + ROWS)
    return pl.DataFrame(
        {
            "number": number,
            **whole,
            **parts,
            **words,
            **codes,
            "day": days,
            **moments,
            "yes": generator.random(ROWS) < 0.3,
        }
    )


def describe(rows: pl.DataFrame) -> dict[str, object]:
    """The configuration of the group `data` for such rows: all columns but the label are known."""
    names = {pl.Int64: "int", pl.Float64: "float", pl.String: "str", pl.Date: "date", pl.Boolean: "bool"}
    columns = {name: {"dtype": names.get(type(dtype), "datetime")} for name, dtype in rows.schema.items()}
    return {
        "task": "binary",
        "tables": {"large": {"path": "large.csv", "columns": columns}},
        "examples": {"table": "large", "known": [name for name in columns if name != "yes"], "label": "yes"},
        "split": {"by": "random", "valid": 0.16, "test": 0.2, "seed": 0},
    }


def write(folder: Path, *, num_bytes: float) -> int:
    """The CSV and its configuration; the number of rows."""
    generator, start = np.random.default_rng(0), 0
    with (folder / "large.csv").open("wb") as stream:
        while stream.tell() < num_bytes:
            rows = make_rows(start, generator)
            rows.write_csv(stream, include_header=start == 0)
            start += ROWS
    (folder / "data.json").write_text(json.dumps(describe(rows)))
    return start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a file of 0.1 GB")
    parser.add_argument("--gigabytes", type=float, help="size of the file; 1.0 where nothing is said")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    gigabytes = options.gigabytes or (0.1 if options.quick else 1.0)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        num_rows = write(Path(folder), num_bytes=gigabytes * 1e9)
        size = (Path(folder) / "large.csv").stat().st_size / 1e9
        print(f"{num_rows:,} rows, 40 columns, {size:.2f} GB")
        read = run_python(READ, folder)
        prepare = run_python(PREPARE, folder)
        init = run_python(INIT, folder)
    print(f"{'what':<16} {'time':>9}  {'peak':>8}")
    print(f"{'polars.read_csv':<16} {read.seconds:>7.1f} s  {read.peak_gb:>5.2f} GB")
    print(f"{'prepare':<16} {prepare.seconds:>7.1f} s  {prepare.peak_gb:>5.2f} GB")
    print(f"{'init':<16} {init.seconds:>7.1f} s  {init.peak_gb:>5.2f} GB")
    ratios = {
        name: {
            "seconds / read_csv": round(cost.seconds / read.seconds, 2),
            "peak / read_csv": round(cost.peak_gb / read.peak_gb, 2),
        }
        for name, cost in (("prepare", prepare), ("init", init))
    }
    print(json.dumps({"size GB": round(size, 2), "ratios": ratios}))


if __name__ == "__main__":
    main()
