"""A run of `task: forecast` beside AutoETS and AutoTheta of statsforecast, on the same rows of the test split.

    python -m venv peers && peers/bin/pip install statsforecast
    treadle run experiment=bikeshare
    python benchmarks/forecast.py runs/bikeshare-… --peers peers/bin/python --season 24 --origins 40

statsforecast has an environment of its own, and is fitted anew at each origin to the last values of each series, which
is what it can do; so a sample of the origins is taken, evenly spread. Values that are missing, such as nights, are left
out of what it is given, and it is told how many come in the horizon. Prints MASE in the unit of the report.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FIT = "--fit"  # the part that runs in the other environment


def fit(path: Path) -> None:
    """Forecast each job of a file: `{"values": […], "ahead": n, "season": m}`; prints the forecasts of each model."""
    import numpy as np
    from statsforecast.models import AutoETS, AutoTheta

    found: dict[str, list[list[float]]] = {}
    for job in json.loads(path.read_text()):
        values = np.array(job["values"], dtype=float)
        for model in (AutoETS(season_length=job["season"]), AutoTheta(season_length=job["season"])):
            made = model.forecast(y=values, h=job["ahead"])["mean"]
            found.setdefault(type(model).__name__, []).append([float(value) for value in made])
    print(json.dumps(found))


def measure(folder: Path, *, peers: str, season: int, num_origins: int, length: int) -> dict[str, float]:
    """MASE of the model, of naive forecasts and of the peers, on the rows of some origins."""
    import polars as pl

    from treadle.data.series import SERIES_FILE, TIME
    from treadle.evaluation.naive import predict_naive
    from treadle.experiment.resolved import read
    from treadle.experiment.run_folder import RunFolder
    from treadle.schema import LABEL, PREDICT_AT

    experiment, run = read(folder / "resolved.yaml").experiment, RunFolder(folder)
    by = experiment.data.forecast.series
    naive = {name: values.numpy() for name, values in predict_naive(experiment, folder=run, classes=[]).items()}
    predicted = pl.read_parquet(run.evaluation / "predictions.parquet")["prediction"]
    test = pl.read_parquet(run.examples / "test.parquet").with_columns(model=predicted, **naive)
    origins = test[PREDICT_AT].unique().sort()
    chosen = origins.gather_every(max(1, len(origins) // num_origins)).head(num_origins)
    series = pl.read_parquet(run.examples / SERIES_FILE)
    trained = pl.read_parquet(run.examples / "train.parquet")[experiment.data.forecast.time].max()
    jobs, kept, scales = [], [], []
    groups = test.filter(pl.col(PREDICT_AT).is_in(chosen.implode())).sort(experiment.data.forecast.time)
    for group in groups.partition_by([*by, PREDICT_AT]):
        own = series.filter(pl.lit(value=True), *(pl.col(name) == group[name][0] for name in by))
        past = own.filter(pl.col(TIME) <= group[PREDICT_AT][0])[LABEL].tail(length)
        scale = find_scale(own.filter(pl.col(TIME) <= trained), season=experiment.evaluation.naive.season)
        if len(past) > 2 * season and scale:
            jobs.append({"values": past.to_list(), "ahead": len(group), "season": season})
            kept.append(group)
            scales += [scale] * len(group)
    began = time.perf_counter()
    found = run_peers(jobs, python=peers)
    print(f"{len(jobs)} forecasts from {len(chosen)} origins; the peers took {time.perf_counter() - began:.0f} s")
    rows = pl.concat(kept).with_columns(scale=pl.Series(scales), **{name: pl.Series(v) for name, v in found.items()})
    return {
        name: rows.select(((pl.col(name) - pl.col(LABEL)).abs() / pl.col("scale")).mean()).item()
        for name in ("model", *naive, *found)
    }


def find_scale(values: Any, *, season: str) -> float | None:
    """The mean change of a series within a season."""
    import polars as pl

    from treadle.data.series import TIME
    from treadle.experiment.durations import parse_duration
    from treadle.schema import LABEL

    before = values.select(pl.col(TIME) + parse_duration(season), before=LABEL)
    return values.join(before, on=TIME).select((pl.col(LABEL) - pl.col("before")).abs().mean()).item()


def run_peers(jobs: list[dict[str, Any]], *, python: str) -> dict[str, list[float]]:
    """The forecasts of each model, one after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "jobs.json"
        path.write_text(json.dumps(jobs))
        done = subprocess.run([python, __file__, FIT, str(path)], check=True, stdout=subprocess.PIPE, text=True)
    return {name: [value for part in parts for value in part] for name, parts in json.loads(done.stdout).items()}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--peers", required=True, help="the Python that has statsforecast")
    parser.add_argument("--season", type=int, required=True, help="values in a season of the peers")
    parser.add_argument("--origins", type=int, default=40)
    parser.add_argument("--length", type=int, default=1000, help="last values that the peers are fitted to")
    given = parser.parse_args()
    found = measure(given.run, peers=given.peers, season=given.season, num_origins=given.origins, length=given.length)
    for name, value in found.items():
        print(f"{name:12} {value:.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == [FIT]:
        fit(Path(sys.argv[2]))
    else:
        main()
