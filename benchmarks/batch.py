"""Batch prediction: rows a second of one core, and peak memory, over ever more rows.

    python benchmarks/batch.py RUN ROWS.parquet --rows 100000 1000000

Rows of the file are repeated until there are as many. Each size runs in a process of its own, on one core.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--rows", dest="sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.run, options.rows, options.measure)
        return
    with TemporaryDirectory() as folder:
        for size in options.sizes:
            file = Path(folder) / f"{size}.parquet"
            repeat(pl.read_parquet(options.rows), size, file)
            again = [str(options.run), str(file), "--measure", str(file.with_suffix(".out.parquet"))]
            subprocess.run([sys.executable, __file__, *again], check=True)
            file.unlink()


def repeat(rows: pl.DataFrame, size: int, file: Path) -> None:
    pl.concat([rows.lazy()] * -(-size // len(rows))).head(size).sink_parquet(file, row_group_size=1 << 18)


def measure(run: Path, rows: Path, output: Path) -> None:
    import treadle
    from treadle.bundle.batch import predict_file

    bundle = treadle.load(run, code="any")  # what it costs is asked, not what it gives
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    tally = predict_file(bundle, rows, output=output)
    seconds, after = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF)
    speed = tally.num_rows / seconds
    print(
        f"{tally.num_rows:>10,} rows  {seconds:7.1f} s CPU  {speed:8,.0f} rows/s a core  "
        f"peak {after.ru_maxrss / 1024:,.0f} MiB (loaded: {before.ru_maxrss / 1024:,.0f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
